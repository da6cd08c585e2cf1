"""Instances kept aside: a SOP Instance UID that was known already, with other bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, or_, select
from sqlalchemy.orm import Session, aliased

from dicom_node.errors import FailItem
from dicom_node.ledger import work_items
from dicom_node.ledger.audit_events import AuditEvent
from dicom_node.ledger.states import InstanceState, WorkEvent, WorkState
from dicom_node.ledger.tables import AssociationRow, InstanceRow, WorkItemRow
from dicom_node.ledger.unit_of_work import UnitOfWork

_REASON: Final = (
    "same SOP Instance UID as an earlier instance, other bytes; a person discarded what was kept "
    "aside"
)


@dataclass(frozen=True, slots=True)
class DiscardedConflicts:
    """What was discarded.

    Attributes
    ----------
    count
        Conflicts that were closed.
    paths
        Files that no row names any more, relative to the spool.
    """

    count: int
    paths: tuple[str, ...]


def _is_open() -> ColumnElement[bool]:
    """Whether a person has something to do: bytes are kept, or the work item is failed."""
    failed = (
        select(WorkItemRow.id)
        .where(WorkItemRow.instance_id == InstanceRow.id)
        .where(WorkItemRow.state == WorkState.FAILED.value)
        .exists()
    )
    return and_(
        InstanceRow.state == InstanceState.CONFLICT.value,
        or_(InstanceRow.path.is_not(None), failed),
    )


def listed(session: Session) -> list[dict[str, Any]]:
    """Conflicts that wait for a person, each beside the instance that came first."""
    first = aliased(InstanceRow)
    statement = (
        select(
            InstanceRow.id.label("conflict"),
            first.study_uid,
            InstanceRow.sop_instance_uid,
            InstanceRow.received_at,
            AssociationRow.calling_ae_title,
            InstanceRow.size,
            InstanceRow.sha256,
            first.received_at.label("first_received_at"),
            first.sha256.label("first_sha256"),
            InstanceRow.path.is_not(None).label("bytes_kept"),
        )
        .join(AssociationRow, AssociationRow.id == InstanceRow.association_id)
        .outerjoin(
            first,
            and_(
                first.sop_instance_uid == InstanceRow.sop_instance_uid,
                first.state != InstanceState.CONFLICT.value,
            ),
        )
        .where(_is_open())
        .order_by(InstanceRow.id)
    )
    return [dict(row) for row in session.execute(statement).mappings()]


def discard(unit: UnitOfWork, instance_ids: Sequence[int]) -> DiscardedConflicts:
    """Close conflicts, all or none: their bytes are no longer named, their work items end.

    The instances that came first stay as they are. The caller removes the files once the
    transaction is committed.

    Raises
    ------
    FailItem
        An id is not that of a conflict that waits for a person.
    """
    wanted = sorted(set(instance_ids))
    rows = list(
        unit.session.execute(
            select(InstanceRow)
            .where(InstanceRow.id.in_(wanted), _is_open())
            .order_by(InstanceRow.id)
            .with_for_update()
        ).scalars()
    )
    missing = sorted(set(wanted) - {row.id for row in rows})
    if missing:
        raise FailItem(f"no conflict {missing[0]}; 'dicom-node study conflicts' lists them")
    failed = unit.session.execute(
        select(WorkItemRow.id)
        .where(WorkItemRow.instance_id.in_(wanted))
        .where(WorkItemRow.state == WorkState.FAILED.value)
    ).scalars()
    work_items.transition(
        unit, list(failed), WorkEvent.DISMISS, audit=AuditEvent.WORK_DISMISS, reason=_REASON
    )
    paths: list[str] = []
    for row in rows:
        unit.record(AuditEvent.INSTANCE_DISCARDED, {"sha256": row.sha256}, instance_id=row.id)
        if row.path is not None:
            paths.append(row.path)
            row.path = None
    return DiscardedConflicts(len(rows), tuple(paths))

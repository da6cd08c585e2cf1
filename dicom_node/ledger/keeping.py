"""Which bytes are still needed: what retention may forget, and whose copy a file is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import ColumnElement, Select, and_, or_, select
from sqlalchemy.orm import Session

from dicom_node.ledger.audit_events import AuditEvent
from dicom_node.ledger.states import InstanceState, WorkState
from dicom_node.ledger.tables import InstanceRow, ResultRow, WorkItemRow
from dicom_node.ledger.unit_of_work import UnitOfWork
from dicom_node.spool.stored import ObjectKind, StoredObject

_ENDED = (WorkState.DELIVERED.value, WorkState.PASSED.value)


@dataclass(frozen=True, slots=True)
class Times:
    """How long bytes are kept.

    Attributes
    ----------
    keep
        After reception, and after the end of the last work item.
    keep_conflicts
        What is kept aside for a UID conflict, after reception.
    """

    keep: timedelta
    keep_conflicts: timedelta


@dataclass(frozen=True, slots=True)
class Copy:
    """The object of a row that a file may be a copy of, and whether nobody needs it any more."""

    stored: StoredObject
    ended: bool


def to_forget(session: Session, at: datetime, times: Times, most: int) -> dict[int, str]:
    """Instances whose bytes are no longer needed, by id, with the name of their file."""
    rows = session.execute(
        select(InstanceRow.id, InstanceRow.path)
        .where(InstanceRow.path.is_not(None), _is_over(at, times))
        .order_by(InstanceRow.id)
        .limit(most)
    )
    return {row_id: cast(str, path) for row_id, path in rows}


def forget(unit: UnitOfWork, instances: dict[int, str], times: Times) -> list[str]:
    """Let rows of instances and their results name no file; returns the names that they had.

    One that has taken another file since, or has work again, is left as it is. The caller removes
    the files once the transaction is committed: nobody else has these names then.
    """
    rows = _locked(unit, instances)
    still = set(
        unit.session.execute(
            select(InstanceRow.id)
            .where(InstanceRow.id.in_([row.id for row in rows]))
            .where(_is_over(unit.at, times))
        ).scalars()
    )
    over = [row for row in rows if row.id in still and row.path == instances[row.id]]
    names = [instances[row.id] for row in over]
    for row in over:
        row.path = None
        unit.record(AuditEvent.INSTANCE_EXPIRED, None, instance_id=row.id)
    for result in _results_of(unit, over):
        names.append(cast(str, result.path))
        result.path = None
    return names


def _locked(unit: UnitOfWork, ids: Iterable[int]) -> Sequence[InstanceRow]:
    """Asked again under the lock, a row is as it is: a person may have recalled one since."""
    return (
        unit.session.execute(
            select(InstanceRow)
            .where(InstanceRow.id.in_(list(ids)))
            .order_by(InstanceRow.id)
            .with_for_update(skip_locked=True)
        )
        .scalars()
        .all()
    )


def _results_of(unit: UnitOfWork, rows: Sequence[InstanceRow]) -> Iterable[ResultRow]:
    return unit.session.execute(
        select(ResultRow)
        .join(WorkItemRow, WorkItemRow.id == ResultRow.work_item_id)
        .where(WorkItemRow.instance_id.in_([row.id for row in rows]))
        .where(ResultRow.path.is_not(None))
    ).scalars()


def _is_over(at: datetime, times: Times) -> ColumnElement[bool]:
    """All work ended long ago, and there was some; or an old conflict."""
    late = _items().where(WorkItemRow.ended_at > at - times.keep)
    done = and_(_has_ended(), InstanceRow.received_at <= at - times.keep, ~late.exists())
    conflict = and_(
        InstanceRow.state == InstanceState.CONFLICT.value,
        InstanceRow.received_at <= at - times.keep_conflicts,
    )
    return or_(done, conflict)


def _has_ended() -> ColumnElement[bool]:
    """Planned, and every work item delivered or passed; a failed one waits for a person."""
    return and_(
        InstanceRow.state == InstanceState.PLANNED.value,
        _items().exists(),
        ~_items().where(WorkItemRow.state.not_in(_ENDED)).exists(),
    )


def _items() -> Select[Any]:
    of_instance = WorkItemRow.instance_id == InstanceRow.id
    return select(WorkItemRow.instance_id).where(of_instance).correlate(InstanceRow)


def instance_like(session: Session, uid: str, sha256: str) -> Copy | None:
    """The instance of this UID with these bytes, whatever its file is called."""
    return _copy(session, ObjectKind.INSTANCE, InstanceRow.sop_instance_uid == uid,
                 InstanceRow.sha256 == sha256)  # fmt: skip


def instance_taken(session: Session, uid: str) -> Copy | None:
    """The instance that has taken this UID."""
    return _copy(session, ObjectKind.INSTANCE, InstanceRow.sop_instance_uid == uid,
                 InstanceRow.state != InstanceState.CONFLICT.value)  # fmt: skip


def result_like(session: Session, uid: str) -> Copy | None:
    """The result of this UID."""
    return _copy(session, ObjectKind.RESULT, ResultRow.sop_instance_uid == uid)


def _copy(session: Session, kind: ObjectKind, *conditions: ColumnElement[bool]) -> Copy | None:
    ended = or_(_has_ended(), InstanceRow.state == InstanceState.CONFLICT.value).label("ended")
    if kind is ObjectKind.INSTANCE:
        statement = select(InstanceRow, ended).where(*conditions)
    else:
        statement = (
            select(ResultRow, ended)  # type: ignore[assignment]
            .join(WorkItemRow, WorkItemRow.id == ResultRow.work_item_id)
            .join(InstanceRow, InstanceRow.id == WorkItemRow.instance_id)
            .where(*conditions)
        )
    found = session.execute(statement).first()
    return None if found is None else Copy(StoredObject.of(kind, found[0]), bool(found[1]))

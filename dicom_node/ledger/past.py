"""Results as they were made: everything that the ledger keeps of how, for making them again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from dicom_node.errors import FailItem
from dicom_node.ledger import plans
from dicom_node.ledger.batches import ClaimedBatch, ClaimedItem
from dicom_node.ledger.engine import MOST_PARAMETERS
from dicom_node.ledger.tables import BatchRow, InstanceRow, ResultRow, WorkItemRow
from dicom_node.spool.stored import ObjectKind, StoredObject
from model_store.ref import ModelRef


@dataclass(frozen=True, slots=True)
class PastResult:
    """One result, what it was made from, and how.

    Parameters
    ----------
    instance_id : int
        The source's row.
    sop_instance_uid, series_uid : str
        The result's.
    result : StoredObject
        Its bytes in the spool; without a path where they are no longer kept.
    sha256 : str
        Of the result's bytes.
    item : ClaimedItem
        The work item as it was claimed.
    model : ModelRef
        What made it.
    engine : mapping
        What the engine said of itself.
    """

    instance_id: int
    sop_instance_uid: str
    series_uid: str
    result: StoredObject
    sha256: str
    item: ClaimedItem
    model: ModelRef
    engine: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class PastBatch:
    """A batch as it was worked: its results, and its items in the order that they were taken in.

    Parameters
    ----------
    batch : ClaimedBatch
        Without items.
    items : tuple of int
        Work item ids, those without a result too.
    results : mapping of int to PastResult
        By work item id.
    """

    batch: ClaimedBatch
    items: tuple[int, ...]
    results: Mapping[int, PastResult]


def named(session: Session, uid: str) -> dict[int, list[int]]:
    """Results of a study, or one of them.

    Parameters
    ----------
    uid : str
        Study Instance UID; or SOP or Series Instance UID of results.

    Returns
    -------
    dict of int to list of int
        Batch id to work item ids, both in order.
    """
    statement = (
        select(WorkItemRow.batch_id, WorkItemRow.id)
        .join(ResultRow, ResultRow.work_item_id == WorkItemRow.id)
        .join(InstanceRow, InstanceRow.id == WorkItemRow.instance_id)
        .where(WorkItemRow.batch_id.is_not(None))
        .where(
            or_(
                InstanceRow.study_uid == uid,
                ResultRow.sop_instance_uid == uid,
                ResultRow.series_uid == uid,
            )
        )
        .order_by(WorkItemRow.batch_id, WorkItemRow.id)
    )
    found: dict[int, list[int]] = {}
    for batch_id, work_item_id in session.execute(statement):
        found.setdefault(int(batch_id or 0), []).append(work_item_id)
    return found


def stored(session: Session, items: Sequence[int]) -> list[tuple[int, int, StoredObject]]:
    """Results of work items whose bytes are kept: batch id, work item id, and the file."""
    found: list[tuple[int, int, StoredObject]] = []
    for first in range(0, len(items), MOST_PARAMETERS):
        rows = session.execute(
            select(WorkItemRow.batch_id, WorkItemRow.id, ResultRow)
            .join(ResultRow, ResultRow.work_item_id == WorkItemRow.id)
            .where(WorkItemRow.id.in_(list(items[first : first + MOST_PARAMETERS])))
            .where(WorkItemRow.batch_id.is_not(None), ResultRow.path.is_not(None))
            .order_by(WorkItemRow.batch_id, WorkItemRow.id)
        )
        found += [
            (batch_id or 0, item, StoredObject.of(ObjectKind.RESULT, row))
            for batch_id, item, row in rows
        ]
    return found


def batch(session: Session, batch_id: int) -> PastBatch:
    """A batch with its items and results.

    Raises
    ------
    sqlalchemy.exc.NoResultFound
        If there is none of that id.
    FailItem
        If its row is not what was planned.
    """
    row = session.execute(select(BatchRow).where(BatchRow.id == batch_id)).scalar_one()
    if not plans.is_as_planned(row):
        raise FailItem(f"batch {batch_id}: {plans.CHANGED}")
    rows = session.execute(
        select(WorkItemRow, InstanceRow, ResultRow)
        .join(InstanceRow, InstanceRow.id == WorkItemRow.instance_id)
        .outerjoin(ResultRow, ResultRow.work_item_id == WorkItemRow.id)
        .where(WorkItemRow.batch_id == batch_id)
        .order_by(WorkItemRow.id)
    ).all()
    claimed = ClaimedBatch(
        batch_id=row.id,
        series_uid=row.series_uid,
        route=row.route,
        model=ModelRef(row.model_name, row.model_version, row.model_sha256),
        plan=row.plan,
        worker="",
        attempts=row.attempts,
        opened_at=row.opened_at,
        items=(),
    )
    return PastBatch(
        claimed,
        tuple(item.id for item, _, _ in rows),
        {
            item.id: _past(item, instance, result)
            for item, instance, result in rows
            if result is not None
        },
    )


def _past(item: WorkItemRow, instance: InstanceRow, result: ResultRow) -> PastResult:
    return PastResult(
        instance_id=instance.id,
        sop_instance_uid=result.sop_instance_uid,
        series_uid=result.series_uid,
        result=StoredObject.of(ObjectKind.RESULT, result),
        sha256=result.sha256,
        item=ClaimedItem(
            item.id,
            instance.sop_instance_uid,
            StoredObject.of(ObjectKind.INSTANCE, instance),
            item.planned_at,
            item.tries,
        ),
        model=ModelRef(result.model_name, result.model_version, result.model_sha256),
        engine=result.engine,
    )

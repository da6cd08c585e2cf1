"""What a person does to ended work items: try again, or deliver again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select, update

from dicom_node.ledger import unplanned, work_items
from dicom_node.ledger.audit_events import AuditEvent
from dicom_node.ledger.engine import MOST_PARAMETERS
from dicom_node.ledger.ringing import make_due
from dicom_node.ledger.states import DeliveryState, InstanceState, ParcelState, WorkEvent
from dicom_node.ledger.tables import DeliveryRow, InstanceRow, ParcelRow, ResultRow, WorkItemRow
from dicom_node.ledger.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True)
class RecallCounts:
    """How many work items were taken up again, and how many could not be."""

    planned: int
    redelivered: int
    left: int


def retry(unit: UnitOfWork, work_item_ids: Sequence[int]) -> RecallCounts:
    """Take ended work items up again.

    An item with a result is delivered again, its bytes as they are; one without is planned again
    with the routes and model versions of now. Instances that are kept aside for a UID conflict,
    and those whose bytes are gone, are left alone.
    """
    parts = [
        _retry(unit, work_item_ids[first : first + MOST_PARAMETERS])
        for first in range(0, len(work_item_ids), MOST_PARAMETERS)
    ]
    return RecallCounts(
        sum(part.planned for part in parts),
        sum(part.redelivered for part in parts),
        sum(part.left for part in parts),
    )


def _retry(unit: UnitOfWork, work_item_ids: Sequence[int]) -> RecallCounts:
    rows = unit.session.execute(
        select(WorkItemRow.id, InstanceRow, ResultRow)
        .join(InstanceRow, InstanceRow.id == WorkItemRow.instance_id)
        .outerjoin(ResultRow, ResultRow.work_item_id == WorkItemRow.id)
        .where(WorkItemRow.id.in_(list(work_item_ids)))
        .order_by(InstanceRow.id)
        .with_for_update(of=InstanceRow)  # no planner is at work on them
    ).all()
    again: list[int] = []
    resend: list[tuple[int, int]] = []
    left = 0
    for item_id, instance, result in rows:
        if result is not None and result.path is not None:
            resend.append((item_id, result.id))
        elif (
            result is None
            and instance.path is not None
            and instance.state != InstanceState.CONFLICT.value
        ):
            again.append(item_id)
            instance.state = InstanceState.RECEIVED.value
            unplanned.planned(instance)  # whatever stood against it: a person has looked
        else:
            left += 1
    work_items.transition(unit, again, WorkEvent.RETRY, audit=AuditEvent.WORK_RETRY)
    unit.session.execute(
        update(WorkItemRow).where(WorkItemRow.id.in_(again)).values(batch_id=None, tries=0)
    )
    work_items.transition(
        unit, [item for item, _ in resend], WorkEvent.REDELIVER, audit=AuditEvent.WORK_REDELIVER
    )
    _resend(unit, [result for _, result in resend])
    return RecallCounts(len(again), len(resend), left)


def _resend(unit: UnitOfWork, result_ids: Sequence[int]) -> None:
    """Deliveries of these results wait again: those that failed, or all where none did."""
    parcel_ids = select(DeliveryRow.parcel_id).where(DeliveryRow.result_id.in_(list(result_ids)))
    rows = unit.session.execute(
        select(ParcelRow)
        .where(ParcelRow.id.in_(parcel_ids))
        .order_by(ParcelRow.id)
        .with_for_update()  # no sender ends one while its deliveries begin to wait again
    ).scalars()
    parcel_of = {row.id: row for row in rows}
    deliveries = unit.session.execute(
        select(DeliveryRow).where(DeliveryRow.result_id.in_(list(result_ids)))
    ).scalars()
    by_result: dict[int, list[DeliveryRow]] = {}
    for delivery in deliveries:
        by_result.setdefault(delivery.result_id, []).append(delivery)
    touched: set[int] = set()
    for members in by_result.values():
        failed = [each for each in members if each.state == DeliveryState.FAILED.value]
        for delivery in failed or members:
            delivery.state = DeliveryState.WAITING.value
            delivery.losses = 0
            touched.add(delivery.parcel_id)
    for parcel_id in sorted(touched):
        row = parcel_of[parcel_id]
        if row.state == ParcelState.DONE.value:
            row.attempts = 0
            row.losses = 0
            row.first_due_at = unit.at
            make_due(unit, row)

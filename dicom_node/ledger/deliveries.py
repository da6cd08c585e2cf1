"""Deliveries of a parcel: which still wait, and what ends with the last of an item."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from sqlalchemy import select

from dicom_node.ledger import work_items
from dicom_node.ledger.audit_events import AuditEvent
from dicom_node.ledger.states import DeliveryState, WorkEvent
from dicom_node.ledger.tables import DeliveryRow, ParcelRow, ResultRow, WorkItemRow
from dicom_node.ledger.unit_of_work import UnitOfWork


def waiting(unit: UnitOfWork, row: ParcelRow) -> list[DeliveryRow]:
    """Those of a parcel that are still to be sent."""
    return list(
        unit.session.execute(
            select(DeliveryRow)
            .where(DeliveryRow.parcel_id == row.id)
            .where(DeliveryRow.state == DeliveryState.WAITING.value)
            .order_by(DeliveryRow.id)
        ).scalars()
    )


def give_up(
    unit: UnitOfWork,
    row: ParcelRow,
    deliveries: Sequence[DeliveryRow],
    why: Callable[[DeliveryRow], str],
) -> None:
    """Make waiting deliveries of a locked parcel dead letters, each with what `why` says."""
    if not deliveries:
        return
    ids = [each.id for each in deliveries]
    lock_items(unit, ids)
    for delivery in deliveries:
        delivery.state = DeliveryState.FAILED.value
        delivery.message = why(delivery)
        unit.record(
            AuditEvent.DELIVERY_GIVEN_UP,
            {"destination": row.destination, "status": delivery.status,
             "message": delivery.message, "state": delivery.state},
            delivery_id=delivery.id,
        )  # fmt: skip
    unit.session.flush()
    settle(unit, ids)


def lock_items(unit: UnitOfWork, delivery_ids: Sequence[int]) -> None:
    """Of two destinations that end at once, let the later one see that the other has ended."""
    unit.session.execute(
        select(WorkItemRow.id)
        .join(ResultRow, ResultRow.work_item_id == WorkItemRow.id)
        .join(DeliveryRow, DeliveryRow.result_id == ResultRow.id)
        .where(DeliveryRow.id.in_(list(delivery_ids)))
        .order_by(WorkItemRow.id)
        .with_for_update(of=WorkItemRow)
    )


def settle(unit: UnitOfWork, delivery_ids: Iterable[int]) -> None:
    """End the work items all of whose deliveries have ended."""
    result_ids = select(DeliveryRow.result_id).where(DeliveryRow.id.in_(list(delivery_ids)))
    rows = unit.session.execute(
        select(ResultRow.work_item_id, DeliveryRow)
        .join(DeliveryRow, DeliveryRow.result_id == ResultRow.id)
        .where(ResultRow.id.in_(result_ids))
    ).all()
    by_item: dict[int, list[DeliveryRow]] = {}
    for work_item_id, delivery in rows:
        by_item.setdefault(work_item_id, []).append(delivery)
    for work_item_id, deliveries in by_item.items():
        if any(each.state == DeliveryState.WAITING.value for each in deliveries):
            continue
        failed = [each for each in deliveries if each.state == DeliveryState.FAILED.value]
        if failed:
            reason = "; ".join(f"{each.destination}: {each.message}" for each in failed)
            work_items.transition(
                unit, [work_item_id], WorkEvent.FAIL,
                audit=AuditEvent.WORK_UNDELIVERABLE, reason=reason,
            )  # fmt: skip
        else:
            work_items.transition(
                unit, [work_item_id], WorkEvent.DELIVER, audit=AuditEvent.WORK_DELIVER
            )

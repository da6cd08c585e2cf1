"""Answers of a destination, as the ledger keeps them."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import update

from dicom_node.ledger import deliveries
from dicom_node.ledger.audit_events import AuditEvent
from dicom_node.ledger.parcels import MOST_LOSSES, ClaimedParcel, renew
from dicom_node.ledger.states import DeliveryState
from dicom_node.ledger.tables import DeliveryRow
from dicom_node.ledger.unit_of_work import UnitOfWork


def answered(
    unit: UnitOfWork,
    parcel: ClaimedParcel,
    delivery_id: int,
    *,
    delivered: bool,
    status: int | None,
    message: str,
    lease: timedelta,
) -> bool:
    """Record a final answer: delivered (perhaps with a warning), or refused for good.

    Only the first final answer counts: of a sender that was given up and one that took over,
    either may be the later.

    Returns
    -------
    bool
        Whether the parcel is still its sender's; if not, the rest of it is somebody else's to send.
    """
    state = DeliveryState.DELIVERED if delivered else DeliveryState.FAILED
    held = renew(unit, parcel, lease)
    deliveries.lock_items(unit, [delivery_id])
    changed = unit.session.execute(
        update(DeliveryRow)
        .where(DeliveryRow.id == delivery_id)
        .where(DeliveryRow.state == DeliveryState.WAITING.value)
        .values(state=state.value, status=status, message=message, answered_at=unit.at)
    )
    if not changed.rowcount:  # type: ignore[attr-defined]
        return held
    unit.record(
        AuditEvent.DELIVERY_ANSWERED,
        {"destination": parcel.destination, "status": status, "message": message,
         "state": state.value},
        delivery_id=delivery_id,
    )  # fmt: skip
    deliveries.settle(unit, [delivery_id])
    return held


def postponed(
    unit: UnitOfWork,
    parcel: ClaimedParcel,
    delivery_id: int,
    *,
    tried: bool,
    status: int | None,
    message: str,
    lease: timedelta,
) -> bool:
    """Record an answer that asks for another try; the delivery keeps waiting.

    One whose own transfer had begun (`tried`) goes behind the others of its parcel, so that an
    object that breaks associations does not hold them up. Returns what `answered` returns.
    """
    held = renew(unit, parcel, lease)
    changed = unit.session.execute(
        update(DeliveryRow)
        .where(DeliveryRow.id == delivery_id)
        .where(DeliveryRow.state == DeliveryState.WAITING.value)
        .values(
            attempts=DeliveryRow.attempts + int(tried),
            status=status,
            message=message,
            answered_at=unit.at,
        )
    )
    if not changed.rowcount:  # type: ignore[attr-defined]
        return held
    unit.record(
        AuditEvent.DELIVERY_POSTPONED,
        {"destination": parcel.destination, "status": status, "message": message},
        delivery_id=delivery_id,
    )
    return held


def at_fault(
    unit: UnitOfWork, parcel: ClaimedParcel, delivery_id: int, *, place: str, lease: timedelta
) -> bool:
    """Count a try of a delivery that came up with what nobody thought of; the last fails it.

    Returns
    -------
    bool
        Whether the parcel is still this sender's.
    """
    row = unit.session.get(DeliveryRow, delivery_id)
    if row is None or row.state != DeliveryState.WAITING.value:
        return renew(unit, parcel, lease)
    losses = row.losses + (not parcel.alone)
    if losses >= MOST_LOSSES:
        message = (
            f"given up after {losses} tries: {place}; this is a fault of the node: report that "
            "line; 'dicom-node study retry' sends it again"
        )
        return answered(
            unit, parcel, delivery_id, delivered=False, status=None, message=message, lease=lease
        )
    row.losses = losses
    unit.session.flush()
    return postponed(
        unit, parcel, delivery_id, tried=True, status=None,
        message=f"try {losses} ended with {place}", lease=lease,
    )  # fmt: skip

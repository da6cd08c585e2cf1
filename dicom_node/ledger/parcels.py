"""Parcels and deliveries in the ledger: what goes where, what the destination answered."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import ColumnElement, and_, func, select, text, update
from sqlalchemy.orm import Session

from dicom_node.errors import LedgerError
from dicom_node.ledger import work_items
from dicom_node.ledger.audit_events import AuditEvent
from dicom_node.ledger.ringing import make_due
from dicom_node.ledger.states import MOST_TRIES, DeliveryState, ParcelState, WorkEvent
from dicom_node.ledger.tables import BatchRow, DeliveryRow, ParcelRow, ResultRow, WorkItemRow
from dicom_node.ledger.unit_of_work import UnitOfWork

_ALONE_AFTER: Final = 2
"""Senders lost with a parcel after which its deliveries are sent one at a time."""

_MOST_LOSSES: Final = MOST_TRIES
"""Senders lost with the same delivery, sent alone, after which it is a dead letter."""

_APART: Final = timedelta(seconds=20)
"""Parcels that were lost together are tried again this far apart: one of them may be to blame."""


@dataclass(frozen=True, slots=True)
class ClaimedDelivery:
    """One delivery of a claimed parcel."""

    delivery_id: int
    path: str | None
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    sha256: str


@dataclass(frozen=True, slots=True)
class ClaimedParcel:
    """A parcel that one sender has taken, with the deliveries that it is to send now."""

    parcel_id: int
    destination: str
    worker: str
    attempts: int
    first_due_at: datetime
    deliveries: tuple[ClaimedDelivery, ...]
    alone: bool = False
    """Senders were lost with it: one delivery is handed out, and its loss counted before."""


def of_batch(unit: UnitOfWork, batch_id: int, destination: str) -> int:
    """Id of the parcel of a batch and destination, made at the first call."""
    row = unit.session.execute(
        select(ParcelRow).where(
            ParcelRow.batch_id == batch_id, ParcelRow.destination == destination
        )
    ).scalar_one_or_none()
    if row is None:
        row = ParcelRow(
            batch_id=batch_id,
            destination=destination,
            state=ParcelState.OPEN.value,
            arrival=select(BatchRow.arrival).where(BatchRow.id == batch_id).scalar_subquery(),
            attempts=0,
        )
        unit.session.add(row)
        unit.session.flush()
    return row.id


def close(unit: UnitOfWork, batch_id: int) -> None:
    """Make the open parcels of an ended batch due."""
    rows = unit.session.execute(
        select(ParcelRow).where(
            ParcelRow.batch_id == batch_id, ParcelRow.state == ParcelState.OPEN.value
        )
    ).scalars()
    for row in rows:
        row.first_due_at = unit.at
        make_due(unit, row)


def claim(
    unit: UnitOfWork, parcel_id: int, worker: str, lease: timedelta, limit: int
) -> ClaimedParcel | None:
    """Take a due parcel; None if it is not due, taken, or its destination is at its limit.

    All deliveries that wait are handed out; of a parcel that has lost senders only one, so that
    the one that kills them is known and holds up no other.

    Parameters
    ----------
    limit : int
        Parcels that may be on their way to the destination at a time, over all senders.
    """
    destination = unit.session.execute(
        select(ParcelRow.destination).where(ParcelRow.id == parcel_id)
    ).scalar_one_or_none()
    if destination is None:
        return None
    _alone(unit, destination)
    row = unit.session.execute(
        select(ParcelRow).where(ParcelRow.id == parcel_id).with_for_update()
    ).scalar_one()
    if row.state != ParcelState.DUE.value:
        return None
    if row.due_at is not None and row.due_at > unit.at:
        return None
    sending = unit.session.execute(
        select(func.count())
        .select_from(ParcelRow)
        .where(ParcelRow.destination == row.destination)
        .where(ParcelRow.state == ParcelState.SENDING.value)
    ).scalar_one()
    if sending >= limit:
        return None
    row.state = ParcelState.SENDING.value
    row.worker = worker
    row.attempts += 1
    row.lease_until = unit.at + lease
    statement = (
        select(DeliveryRow, ResultRow)
        .join(ResultRow, ResultRow.id == DeliveryRow.result_id)
        .where(DeliveryRow.parcel_id == parcel_id)
        .where(DeliveryRow.state == DeliveryState.WAITING.value)
        .order_by(DeliveryRow.losses, DeliveryRow.attempts, DeliveryRow.id)
    )
    alone = row.losses >= _ALONE_AFTER
    waiting = unit.session.execute(statement.limit(1) if alone else statement).all()
    if alone:
        for delivery, _ in waiting:
            delivery.losses += 1  # until its sender says that it lives
    return ClaimedParcel(
        parcel_id=row.id,
        destination=row.destination,
        worker=worker,
        attempts=row.attempts,
        first_due_at=row.first_due_at or unit.at,
        alone=alone,
        deliveries=tuple(
            ClaimedDelivery(
                delivery.id,
                result.path,
                result.sop_class_uid,
                result.sop_instance_uid,
                result.transfer_syntax_uid,
                result.sha256,
            )
            for delivery, result in waiting
        ),
    )


def _alone(unit: UnitOfWork, destination: str) -> None:
    """Let nobody else count, hold back or bring forward the parcels of a destination.

    SQLite has one writer anyway. Taken before any row, so that nobody waits in a circle.
    """
    if unit.session.get_bind().dialect.name == "postgresql":
        unit.session.execute(
            text("SELECT pg_advisory_xact_lock(hashtext(:destination))"),
            {"destination": destination},
        )


def _held(parcel: ClaimedParcel) -> ColumnElement[bool]:
    """Whether a row is the parcel as it was claimed; threads of a sender share its name."""
    return and_(
        ParcelRow.id == parcel.parcel_id,
        ParcelRow.worker == parcel.worker,
        ParcelRow.attempts == parcel.attempts,
        ParcelRow.state == ParcelState.SENDING.value,
    )


def renew(unit: UnitOfWork, parcel: ClaimedParcel, lease: timedelta) -> bool:
    """Prolong the lease of a parcel that is on its way; False if it was taken back."""
    renewed = unit.session.execute(
        update(ParcelRow).where(_held(parcel)).values(lease_until=unit.at + lease)
    )
    return bool(renewed.rowcount)  # type: ignore[attr-defined]


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
    _lock_items(unit, [delivery_id])
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
    _settle(unit, [delivery_id])
    return held


def _lock_items(unit: UnitOfWork, delivery_ids: Sequence[int]) -> None:
    """Of two destinations that end at once, let the later one see that the other has ended."""
    unit.session.execute(
        select(WorkItemRow.id)
        .join(ResultRow, ResultRow.work_item_id == WorkItemRow.id)
        .join(DeliveryRow, DeliveryRow.result_id == ResultRow.id)
        .where(DeliveryRow.id.in_(list(delivery_ids)))
        .order_by(WorkItemRow.id)
        .with_for_update(of=WorkItemRow)
    )


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
    if losses >= _MOST_LOSSES:
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


def crashed(unit: UnitOfWork, parcel: ClaimedParcel) -> None:
    """Count a parcel that came up with what nobody thought of, as if its sender was lost."""
    unit.session.execute(update(ParcelRow).where(_held(parcel)).values(losses=ParcelRow.losses + 1))


def _settle(unit: UnitOfWork, delivery_ids: Iterable[int]) -> None:
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


def finish(
    unit: UnitOfWork,
    parcel: ClaimedParcel,
    *,
    retry_after: timedelta,
    give_up_after: timedelta,
    faulty: Collection[int] = (),
) -> int:
    """End a try of a parcel; whoever carried it has room for the next.

    Deliveries that still wait are tried again after `retry_after`, or become dead letters once
    the parcel has been due for `give_up_after`. Those that this try was not about are due at once.
    The tries of those that were `faulty` stay counted, and say nothing about the destination.

    Returns
    -------
    int
        Number of deliveries that became dead letters.

    Raises
    ------
    LedgerError
        If the parcel was taken back in the meantime.
    """
    _alone(unit, parcel.destination)
    row = unit.session.execute(
        select(ParcelRow).where(_held(parcel)).with_for_update()
    ).scalar_one_or_none()
    if row is None:
        raise LedgerError(f"parcel {parcel.parcel_id} was taken back from this sender")
    waiting = _waiting(unit, row)
    handed_out = {each.delivery_id for each in parcel.deliveries}
    tried = [each for each in waiting if each.id in handed_out]
    for delivery in tried:
        if delivery.id not in faulty:
            delivery.losses = 0
    if waiting and not tried:
        make_due(unit, row)
        _bring_forward_others(unit, row)
        return 0
    if waiting and parcel.first_due_at + give_up_after > unit.at:
        make_due(unit, row, at=unit.at + retry_after)
        if any(each.id not in faulty for each in tried):
            _hold_back_others(unit, row)
        return 0
    hours = (unit.at - parcel.first_due_at) / timedelta(hours=1)
    tries = "1 try" if row.attempts == 1 else f"{row.attempts} tries"
    _give_up(
        unit,
        row,
        waiting,
        lambda each: (
            f"given up after {tries} in {hours:.0f} h; last: "
            f"{each.message or 'no answer'}; when {row.destination} takes it, "
            "'dicom-node study retry' sends it again"
        ),
    )
    _end(row)
    if not waiting:
        _bring_forward_others(unit, row)
    return len(waiting)


def _waiting(unit: UnitOfWork, row: ParcelRow) -> list[DeliveryRow]:
    return list(
        unit.session.execute(
            select(DeliveryRow)
            .where(DeliveryRow.parcel_id == row.id)
            .where(DeliveryRow.state == DeliveryState.WAITING.value)
            .order_by(DeliveryRow.id)
        ).scalars()
    )


def _give_up(
    unit: UnitOfWork,
    row: ParcelRow,
    deliveries: Sequence[DeliveryRow],
    why: Callable[[DeliveryRow], str],
) -> None:
    """Make waiting deliveries of a locked parcel dead letters, each with what `why` says."""
    if not deliveries:
        return
    ids = [each.id for each in deliveries]
    _lock_items(unit, ids)
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
    _settle(unit, ids)


def _end(row: ParcelRow) -> None:
    row.state = ParcelState.DONE.value
    row.lease_until = None
    row.worker = None


def _hold_back_others(unit: UnitOfWork, row: ParcelRow) -> None:
    """A destination that just failed is not tried with every other parcel as well."""
    unit.session.execute(
        update(ParcelRow)
        .where(ParcelRow.destination == row.destination, ParcelRow.id != row.id)
        .where(ParcelRow.state == ParcelState.DUE.value, ParcelRow.due_at <= unit.at)
        .values(due_at=row.due_at)
    )


def _bring_forward_others(unit: UnitOfWork, row: ParcelRow) -> None:
    """A destination that answers again gets at once what waits for it."""
    unit.session.execute(
        update(ParcelRow)
        .where(ParcelRow.destination == row.destination, ParcelRow.id != row.id)
        .where(ParcelRow.state == ParcelState.DUE.value, ParcelRow.due_at > unit.at)
        .values(due_at=unit.at)
    )


def take_back_expired(unit: UnitOfWork, *, worker: str | None = None) -> list[int]:
    """Take parcels back whose lease has run out, or that a dead `worker` held.

    From the second loss on, what was lost together is tried apart and one delivery at a time; a
    delivery with which sender after sender is lost becomes a dead letter, the others go on.
    """
    condition = ParcelRow.lease_until < unit.at if worker is None else ParcelRow.worker == worker
    rows = (
        unit.session.execute(
            select(ParcelRow)
            .where(ParcelRow.state == ParcelState.SENDING.value, condition)
            .order_by(ParcelRow.id)
            .with_for_update(skip_locked=True)
        )
        .scalars()
        .all()
    )
    taken: list[int] = []
    apart = timedelta(0)
    for row in rows:
        row.losses += 1
        unit.record(
            AuditEvent.PARCEL_TAKEN_BACK,
            {"parcel": row.id, "worker": row.worker, "destination": row.destination,
             "losses": row.losses},
        )  # fmt: skip
        taken.append(row.id)
        waiting = _waiting(unit, row)
        lost = [each for each in waiting if each.losses >= _MOST_LOSSES]
        _give_up(unit, row, lost, _killer)
        if len(lost) == len(waiting):
            _end(row)
            continue
        make_due(unit, row, at=unit.at + apart if apart else None)
        if row.losses >= _ALONE_AFTER:
            apart += _APART
    return taken


def holders(session: Session) -> list[str]:
    """Names of the senders that hold parcels."""
    sending = ParcelRow.state == ParcelState.SENDING.value
    found = session.execute(select(ParcelRow.worker).where(sending).distinct()).scalars()
    return [worker for worker in found if worker]


def _killer(delivery: DeliveryRow) -> str:
    return (
        f"given up: the sender stopped {delivery.losses} times while it sent only this object, "
        "without an answer; see the log of delivery for why, then 'dicom-node study retry' sends "
        "it again"
    )

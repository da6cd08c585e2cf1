"""Parcels and deliveries in the ledger: what goes where, what the destination answered."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import ColumnElement, func, select, text, update
from sqlalchemy.orm import Session

from dicom_node.errors import LedgerError
from dicom_node.ledger import deliveries, leases
from dicom_node.ledger.audit_events import AuditEvent
from dicom_node.ledger.ringing import make_due
from dicom_node.ledger.states import MOST_TRIES, DeliveryState, ParcelState
from dicom_node.ledger.tables import BatchRow, DeliveryRow, ParcelRow, ResultRow
from dicom_node.ledger.unit_of_work import UnitOfWork
from dicom_node.spool.stored import ObjectKind, StoredObject

_ALONE_AFTER: Final = 2
"""Senders lost with a parcel after which its deliveries are sent one at a time."""

MOST_LOSSES: Final = MOST_TRIES
"""Senders lost with the same delivery, sent alone, after which it is a dead letter."""

_APART: Final = timedelta(seconds=20)
"""Parcels that were lost together are tried again this far apart: one of them may be to blame."""


@dataclass(frozen=True, slots=True)
class ClaimedDelivery:
    """One delivery of a claimed parcel."""

    delivery_id: int
    result: StoredObject


@dataclass(frozen=True, slots=True)
class ClaimedParcel:
    """A parcel that one sender has taken, with the deliveries that it is to send now."""

    parcel_id: int
    destination: str
    worker: str
    attempts: int
    first_due_at: datetime
    deliveries: tuple[ClaimedDelivery, ...]
    alone: bool
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
        select(ParcelRow)
        .where(ParcelRow.id == parcel_id)
        .where(ParcelRow.state == ParcelState.DUE.value, ParcelRow.due_at <= unit.at)
        .with_for_update()
    ).scalar_one_or_none()
    if row is None:
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
            ClaimedDelivery(delivery.id, StoredObject.of(ObjectKind.RESULT, result))
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
    return leases.is_held(ParcelRow, parcel.parcel_id, parcel, ParcelState.SENDING)


def renew(unit: UnitOfWork, parcel: ClaimedParcel, lease: timedelta) -> bool:
    """Prolong the lease of a parcel that is on its way; False if it was taken back."""
    return leases.renew(unit, ParcelRow, _held(parcel), lease)


def crashed(unit: UnitOfWork, parcel: ClaimedParcel) -> None:
    """Count a parcel that came up with what nobody thought of, as if its sender was lost."""
    unit.session.execute(update(ParcelRow).where(_held(parcel)).values(losses=ParcelRow.losses + 1))


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
    waiting = deliveries.waiting(unit, row)
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
    deliveries.give_up(
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


def _end(row: ParcelRow) -> None:
    row.state = ParcelState.DONE.value
    row.lease_until = None
    row.worker = None


def _hold_back_others(unit: UnitOfWork, row: ParcelRow) -> None:
    """A destination that just failed is not tried with every other parcel as well.

    The parcel itself is due later already.
    """
    unit.session.execute(
        update(ParcelRow)
        .where(ParcelRow.destination == row.destination)
        .where(ParcelRow.state == ParcelState.DUE.value, ParcelRow.due_at <= unit.at)
        .values(due_at=row.due_at)
    )


def _bring_forward_others(unit: UnitOfWork, row: ParcelRow) -> None:
    """A destination that answers again gets at once what waits for it."""
    unit.session.execute(
        update(ParcelRow)
        .where(ParcelRow.destination == row.destination)
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
        waiting = deliveries.waiting(unit, row)
        lost = [each for each in waiting if each.losses >= MOST_LOSSES]
        deliveries.give_up(unit, row, lost, _killer)
        if len(lost) == len(waiting):
            _end(row)
            continue
        make_due(unit, row, at=unit.at + apart if apart else None)
        if row.losses >= _ALONE_AFTER:
            apart += _APART
    return taken


def holders(session: Session) -> list[str]:
    """Names of the senders that hold parcels."""
    return leases.holders(session, ParcelRow, ParcelState.SENDING)


def _killer(delivery: DeliveryRow) -> str:
    return (
        f"given up: the sender stopped {delivery.losses} times while it sent only this object, "
        "without an answer; see the log of delivery for why, then 'dicom-node study retry' sends "
        "it again"
    )

"""What the ledger has of times to come, looked at anew when its clock was set.

Every wait has a bound, and nothing in the ledger was there later than now; a time beyond that is of
another clock. Done twice, or by several, it changes nothing the second time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import bindparam, select, text, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from dicom_node.ledger.audit_events import AuditEvent
from dicom_node.ledger.states import BatchState, InstanceState, ParcelState
from dicom_node.ledger.tables import AuditRow, BatchRow, InstanceRow, ParcelRow
from dicom_node.ledger.unit_of_work import UnitOfWork

_ALONE: Final = text("SELECT pg_advisory_xact_lock(7165435062)")
_SAME_JUMP: Final = timedelta(hours=1)
"""Upkeeps that see the same jump tell of it within this time."""

_NEARLY: Final = timedelta(seconds=10)
_UNSETTLED: Final = timedelta(days=1)
_BATCHES: Final = [BatchState.OPEN.value, BatchState.DUE.value, BatchState.RUNNING.value]
_PARCELS: Final = [ParcelState.OPEN.value, ParcelState.DUE.value, ParcelState.SENDING.value]
_PLANNABLE: Final = InstanceRow.state.in_(
    [InstanceState.RECEIVED.value, InstanceState.CONFLICT.value]
)


@dataclass(frozen=True, slots=True)
class Waits:
    """The longest that anything in the ledger waits.

    Attributes
    ----------
    batch : timedelta
        Lease of a batch.
    parcel : timedelta
        Lease of a parcel.
    instance : timedelta
        Lease of an instance that is planned.
    due : timedelta
        Until something is tried again.
    """

    batch: timedelta
    parcel: timedelta
    instance: timedelta
    due: timedelta


def set_back_since(session: Session, at: datetime) -> timedelta:
    """How far the clock was set back while nobody looked: behind what was written last."""
    last = session.execute(select(AuditRow.at).order_by(AuditRow.id.desc()).limit(1)).scalar()
    return timedelta(0) if last is None else min(at - last, timedelta(0))


def unsettled(session: Session, at: datetime) -> bool:
    """Whether a clock was set forward within a day: ages are not to be trusted yet."""
    found = _events(session, at - _UNSETTLED)
    return any(row.at <= at and row.detail["seconds"] > 0 for row in found)


def settle(
    unit: UnitOfWork, jump: timedelta, waits: Waits, between: timedelta = timedelta(0)
) -> bool:
    """Have everything wait as long as it would have if the clock had not been set.

    After a jump forward nobody's lease has run out, and what is given up in time has all of that
    time; after one back nothing waits for the old time to come again.

    Parameters
    ----------
    jump : timedelta
        How far the clock was set, forward if positive.
    between : timedelta
        Time that passed between the looks that found it.

    Returns
    -------
    bool
        Whether this was the first to see that jump. It is none where others wrote in what would
        have been left out: then time did pass, and stood still here, as in a machine that is moved.
    """
    if _went_by(unit, jump, between):
        return False
    if unit.connection.dialect.name == "postgresql":
        unit.connection.execute(_ALONE)
    told = any(abs(each - jump) < _NEARLY for each in _jumps(unit.session, unit.at - _SAME_JUMP))
    if jump < timedelta(0):
        _not_later(unit, waits, due=timedelta(0))
    elif not told:
        _renew_leases(unit, waits)
        _move(unit, jump)
    if not told:
        unit.record(AuditEvent.CLOCK_JUMPED, {"seconds": round(jump.total_seconds(), 3)})
    return not told


def clamp(unit: UnitOfWork, waits: Waits) -> int:
    """Let nothing wait longer than its bound, whatever it was written by; the rows changed."""
    return _not_later(unit, waits, due=waits.due)


def _went_by(unit: UnitOfWork, jump: timedelta, between: timedelta) -> bool:
    """Whether something was written in the time that a jump forward would have left out.

    What was written before the clock was set back, and now forward again, was in that time before.
    """
    first, last = unit.at - jump + _NEARLY, unit.at - between - _NEARLY
    if first >= last:
        return False
    newest = max((row.id for row in _events(unit.session, first - _UNSETTLED)), default=0)
    found = select(AuditRow.id).where(AuditRow.at > first, AuditRow.at < last, AuditRow.id > newest)
    return unit.session.execute(found.limit(1)).first() is not None


def tell(unit: UnitOfWork, jump: timedelta, host: str) -> None:
    """Record that the clock of another machine than the ledger's was set; no row goes by it."""
    detail = {"seconds": round(jump.total_seconds(), 3), "host": host}
    unit.record(AuditEvent.CLOCK_JUMPED, detail)


def _jumps(session: Session, since: datetime) -> list[timedelta]:
    """How far the ledger's own clock was set."""
    return [timedelta(seconds=row.detail["seconds"]) for row in _events(session, since)
            if "host" not in row.detail]  # fmt: skip


def _events(session: Session, since: datetime) -> Sequence[Any]:
    return session.execute(
        select(AuditRow.id, AuditRow.at, AuditRow.detail)
        .where(AuditRow.event == AuditEvent.CLOCK_JUMPED.value)
        .where(AuditRow.at > since)
    ).all()


def _renew_leases(unit: UnitOfWork, waits: Waits) -> None:
    for table, lease in ((BatchRow, waits.batch), (ParcelRow, waits.parcel)):
        until = unit.at + lease
        _set(unit, update(table).where(table.worker.is_not(None), table.lease_until < until)
             .values(lease_until=until))  # fmt: skip
    until = unit.at + waits.instance
    _set(unit, update(InstanceRow).where(_PLANNABLE, InstanceRow.worker.is_not(None))
         .where(InstanceRow.lease_until < until).values(lease_until=until))  # fmt: skip


def _move(unit: UnitOfWork, jump: timedelta) -> None:
    """Move the times from which something is given up, or goes out, with the clock."""
    before = unit.at - jump / 2  # what is younger was written after the jump
    _later(unit, ParcelRow.first_due_at, ParcelRow.state.in_(_PARCELS), before, jump)
    _later(unit, BatchRow.opened_at, BatchRow.state.in_(_BATCHES), before, jump)
    _later(unit, BatchRow.last_item_at, BatchRow.state == BatchState.OPEN.value, before, jump)
    received = InstanceRow.state == InstanceState.RECEIVED.value
    _later(unit, InstanceRow.received_at, received, before, jump)


def _later(
    unit: UnitOfWork,
    column: InstrumentedAttribute[Any],
    which: Any,
    before: datetime,
    jump: timedelta,
) -> None:
    table = column.class_
    rows = unit.session.execute(select(table.id, column).where(which, column < before)).all()
    moved = [{"row_id": row_id, "moved": at + jump} for row_id, at in rows]
    if moved:
        statement = update(table.__table__).where(table.__table__.c.id == bindparam("row_id"))
        unit.connection.execute(statement.values({column.key: bindparam("moved")}), moved)


def _not_later(unit: UnitOfWork, waits: Waits, *, due: timedelta) -> int:
    at = unit.at
    changed = 0
    for table, states, lease in (
        (BatchRow, _BATCHES, waits.batch),
        (ParcelRow, _PARCELS, waits.parcel),
    ):
        # One that is due beyond every wait is due now: nobody knows when it was to be.
        to_do = table.state.in_(states)
        changed += _set(unit, update(table).where(to_do, table.due_at > at + due)
                        .values(due_at=at))  # fmt: skip
        changed += _set(unit, update(table).where(to_do, table.lease_until > at + lease)
                        .values(lease_until=at + lease))  # fmt: skip
    changed += _set(unit, update(InstanceRow).where(_PLANNABLE, InstanceRow.worker.is_not(None))
                    .where(InstanceRow.lease_until > at + waits.instance)
                    .values(lease_until=at + waits.instance))  # fmt: skip
    changed += _set(unit, update(InstanceRow).where(_PLANNABLE, InstanceRow.worker.is_(None))
                    .where(InstanceRow.lease_until > at + due)
                    .values(lease_until=None))  # fmt: skip
    for column, which in _PAST:
        changed += _set(unit, update(column.class_).where(column > at, *which)
                        .values({column.key: at}))  # fmt: skip
    return changed


_PAST: Final[Sequence[tuple[InstrumentedAttribute[Any], list[Any]]]] = (
    (BatchRow.opened_at, [BatchRow.state.in_(_BATCHES)]),
    (BatchRow.last_item_at, [BatchRow.state.in_(_BATCHES)]),
    (ParcelRow.first_due_at, [ParcelRow.state.in_(_PARCELS)]),
    (InstanceRow.received_at, []),
)


def _set(unit: UnitOfWork, statement: Any) -> int:
    return int(unit.connection.execute(statement).rowcount)

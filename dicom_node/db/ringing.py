"""Batches and parcels become due and are rung for; what nobody took is rung for again."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import ColumnElement, and_, or_, select, update
from sqlalchemy.orm import Session

from dicom_node.db.tables import BatchRow, ParcelRow
from dicom_node.db.unit_of_work import UnitOfWork
from dicom_node.domain.work import BatchState, ParcelState
from dicom_node.outbox import Queue, Ring

_QUEUES: Final[Mapping[type[BatchRow | ParcelRow], Queue]] = {
    BatchRow: Queue.INFER,
    ParcelRow: Queue.DELIVER,
}
_LEASED: Final[Mapping[type[BatchRow | ParcelRow], str]] = {
    BatchRow: BatchState.RUNNING.value,
    ParcelRow: ParcelState.SENDING.value,
}
_MOST_AT_ONCE: Final = 200
_DOUBLINGS: Final = 2
"""A bell is lost with the broker, so the waits stop growing before they are felt."""


def make_due(unit: UnitOfWork, row: BatchRow | ParcelRow, *, at: datetime | None = None) -> None:
    """Make a batch or a parcel due, now or at `at`, and ring for it if that is now."""
    row.state = BatchState.DUE.value
    row.due_at = at or unit.at
    row.lease_until = None
    row.worker = None
    row.rings = 0
    row.ring_at = None
    if at is None:
        row.ring_at = unit.at
        unit.ring(Ring(_QUEUES[type(row)], row.id))


def ring_again(unit: UnitOfWork, first: timedelta) -> int:
    """Ring for due batches and parcels that were not rung for, or `first` ago or longer.

    Each further ring waits twice as long, up to four times `first`: work that waits for its turn
    in a long queue is not announced without end.

    Returns
    -------
    int
        Number of rings.
    """
    return _ring(unit, BatchRow, first) + _ring(unit, ParcelRow, first)


def any_to_ring(session: Session, at: datetime, first: timedelta) -> bool:
    """Whether `ring_again` has anything to do; for a look before a transaction that writes."""
    return any(
        session.execute(select(table.id).where(_is_to_ring(table, at, first)).limit(1)).first()
        is not None
        for table in _QUEUES
    )


def any_expired(session: Session, at: datetime) -> bool:
    """Whether a lease has run out; for a look before a transaction that writes."""
    return any(
        session.execute(
            select(table.id).where(table.state == state, table.lease_until < at).limit(1)
        ).first()
        is not None
        for table, state in _LEASED.items()
    )


def _is_to_ring(
    table: type[BatchRow | ParcelRow], at: datetime, first: timedelta
) -> ColumnElement[bool]:
    waited = [
        and_(table.rings <= rings, table.ring_at <= at - first * 2**rings)
        for rings in range(_DOUBLINGS)
    ]
    longest = table.ring_at <= at - first * 2**_DOUBLINGS
    return and_(
        table.state == BatchState.DUE.value,
        table.due_at <= at,
        or_(table.ring_at.is_(None), *waited, longest),
    )


def _ring(unit: UnitOfWork, table: type[BatchRow | ParcelRow], first: timedelta) -> int:
    ids = list(
        unit.session.execute(
            select(table.id)
            .where(_is_to_ring(table, unit.at, first))
            .order_by(table.id)
            .limit(_MOST_AT_ONCE)
            .with_for_update(skip_locked=True)
        ).scalars()
    )
    if ids:
        unit.session.execute(
            update(table)
            .where(table.id.in_(ids))
            .values(ring_at=unit.at, rings=table.rings + 1)
            .execution_options(synchronize_session=False)
        )
    for ledger_id in ids:
        unit.ring(Ring(_QUEUES[table], ledger_id))
    return len(ids)

"""Due work that nobody took is announced again."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from sqlalchemy import and_, or_, select, update

from dicom_node.db.tables import BatchRow, ParcelRow
from dicom_node.db.unit_of_work import UnitOfWork
from dicom_node.domain.work import BatchState
from dicom_node.outbox import Queue, Ring

_MOST_AT_ONCE: Final = 200
_DOUBLINGS: Final = 2
"""A bell is lost with the broker, so the waits stop growing before they are felt."""


def ring_again(unit: UnitOfWork, first: timedelta) -> int:
    """Ring for due batches and parcels that were not rung for, or `first` ago or longer.

    Each further ring waits twice as long, up to four times `first`: work that waits for its turn
    in a long queue is not announced without end.

    Returns
    -------
    int
        Number of rings.
    """
    return _ring(unit, BatchRow, Queue.INFER, first) + _ring(unit, ParcelRow, Queue.DELIVER, first)


def _ring(
    unit: UnitOfWork, table: type[BatchRow] | type[ParcelRow], queue: Queue, first: timedelta
) -> int:
    waited = [
        and_(table.rings <= rings, table.ring_at <= unit.at - first * 2**rings)
        for rings in range(_DOUBLINGS)
    ]
    longest = table.ring_at <= unit.at - first * 2**_DOUBLINGS
    ids = list(
        unit.session.execute(
            select(table.id)
            .where(table.state == BatchState.DUE.value, table.due_at <= unit.at)
            .where(or_(table.ring_at.is_(None), *waited, longest))
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
        unit.ring(Ring(queue, ledger_id))
    return len(ids)

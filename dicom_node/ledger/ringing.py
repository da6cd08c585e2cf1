"""Batches and parcels become due and are rung for; leases run out."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_node.bell.outbox import Queue, Ring
from dicom_node.ledger.states import BatchState, ParcelState
from dicom_node.ledger.tables import BatchRow, ParcelRow
from dicom_node.ledger.unit_of_work import UnitOfWork

_QUEUES: Final[Mapping[type[BatchRow | ParcelRow], Queue]] = {
    BatchRow: Queue.INFER,
    ParcelRow: Queue.DELIVER,
}
_LEASED: Final[Mapping[type[BatchRow | ParcelRow], str]] = {
    BatchRow: BatchState.RUNNING.value,
    ParcelRow: ParcelState.SENDING.value,
}


def make_due(unit: UnitOfWork, row: BatchRow | ParcelRow, *, at: datetime | None = None) -> None:
    """Make a batch or a parcel due, now or at `at`, and ring if that is now."""
    row.state = BatchState.DUE.value
    row.due_at = at or unit.at
    row.lease_until = None
    row.worker = None
    if at is None:
        unit.ring(Ring(_QUEUES[type(row)], row.id))


def any_expired(session: Session, at: datetime) -> bool:
    """Whether a lease has run out; for a look before a transaction that writes."""
    return any(
        session.execute(
            select(table.id).where(table.state == state, table.lease_until < at).limit(1)
        ).first()
        is not None
        for table, state in _LEASED.items()
    )

"""Leases of batches and parcels: whoever holds one, for how long, and whether it still does."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Protocol, TypeAlias

from sqlalchemy import ColumnElement, and_, select, update
from sqlalchemy.orm import Session

from dicom_node.ledger.tables import BatchRow, ParcelRow
from dicom_node.ledger.unit_of_work import UnitOfWork

Leased: TypeAlias = type[BatchRow | ParcelRow]


class Claim(Protocol):
    """What was claimed, as it was then."""

    @property
    def worker(self) -> str:
        """Who claimed it."""

    @property
    def attempts(self) -> int:
        """Tries, this one too."""


def is_held(table: Leased, row_id: int, claim: Claim, running: StrEnum) -> ColumnElement[bool]:
    """Whether a row is what was claimed: it may be lost, and claimed again by the same name."""
    return and_(
        table.id == row_id,
        table.worker == claim.worker,
        table.attempts == claim.attempts,
        table.state == running.value,
    )


def renew(unit: UnitOfWork, table: Leased, held: ColumnElement[bool], lease: timedelta) -> bool:
    """Prolong a lease; False if the row was taken back in the meantime."""
    renewed = unit.session.execute(update(table).where(held).values(lease_until=unit.at + lease))
    return bool(renewed.rowcount)  # type: ignore[attr-defined]


def holders(session: Session, table: Leased, running: StrEnum) -> list[str]:
    """Names of those that hold rows."""
    held = table.state == running.value
    found = session.execute(select(table.worker).where(held).distinct()).scalars()
    return [worker for worker in found if worker]

"""The spool that the ledger's files are in."""

from __future__ import annotations

from typing import Final

from sqlalchemy import exists, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from dicom_node.ledger.identity import FIRST_MARKER
from dicom_node.ledger.tables import InstanceRow, ResultRow, SpoolRow
from dicom_node.ledger.unit_of_work import UnitOfWork

_REMEMBER: Final = {
    "postgresql": postgresql.insert(SpoolRow).on_conflict_do_nothing(),
    "sqlite": sqlite.insert(SpoolRow).on_conflict_do_nothing(),
}


def marker(session: Session) -> str | None:
    """Marker of the ledger's spool; the one that was there first counts."""
    return session.execute(FIRST_MARKER).scalar_one_or_none()


def remember(unit: UnitOfWork, found: str) -> None:
    """Note the marker of the spool; another process may have noted it in the meantime."""
    statement = _REMEMBER[unit.connection.dialect.name]
    unit.session.execute(statement.values(marker=found, made_at=unit.at))


def names_files(session: Session) -> bool:
    """Whether any row names a file."""
    return any(
        session.execute(select(exists().where(table.path.is_not(None)))).scalar_one()
        for table in (InstanceRow, ResultRow)
    )

"""Which migration a database is at, and which one this release needs, without loading Alembic."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Engine, inspect, text
from sqlalchemy.exc import DBAPIError

from dicom_node.db.unit_of_work import ledger_error
from dicom_node.errors import LedgerError

REVISION: Final = "0006"
"""The newest migration in ``migrations/versions``; a test holds the two together."""

_TABLE: Final = "alembic_version"


def current(engine: Engine) -> str | None:
    """Revision that the database is at; None for an empty one.

    Raises
    ------
    LedgerError
        The database cannot be reached.
    """
    try:
        with engine.execution_options(read_only=True).connect() as connection:
            if not inspect(connection).has_table(_TABLE):
                return None
            found = connection.execute(text(f"SELECT version_num FROM {_TABLE}"))  # noqa: S608
            return found.scalar_one_or_none()
    except DBAPIError as error:
        raise ledger_error(error) from error


def require_current(engine: Engine) -> None:
    """Refuse to work on a database of another release.

    Raises
    ------
    LedgerError
        The database cannot be reached, is empty, or is at another migration.
    """
    found = current(engine)
    if found is None:
        raise LedgerError(
            "there is no ledger yet; 'dicom-node db upgrade', or a first 'dicom-node up', makes it"
        )
    if found != REVISION:
        raise LedgerError(
            f"the ledger's database is at migration {found}, this release needs "
            f"{REVISION}; run 'dicom-node db upgrade'"
        )

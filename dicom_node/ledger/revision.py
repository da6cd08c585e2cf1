"""Which migration a database is at, and which one this release needs, without loading Alembic."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, Engine, inspect, text
from sqlalchemy.exc import DBAPIError

from dicom_node.errors import LedgerError, OtherMigration
from dicom_node.ledger import holders
from dicom_node.ledger.faults import ledger_error

KNOWN: Final = ("0001", "0002", "0003", "0004", "0005", "0006", "0007")
"""The migrations in ``migrations/versions``, oldest first; a test holds the two together."""

REVISION: Final = KNOWN[-1]
"""The newest of them."""

_TABLE: Final = "alembic_version"
_READ: Final = f"SELECT version_num FROM {_TABLE}"  # noqa: S608 -- a name of our own

HOW_TO_MAKE_ONE: Final = (
    "'dicom-node db upgrade', or a first 'dicom-node up', makes it; if there was one before, mount "
    "its volume, or mend [database] url, and make none"
)


def current(engine: Engine) -> str | None:
    """Revision that the database is at; None for one that is empty or not there.

    Raises
    ------
    LedgerError
        The database cannot be reached.
    """
    path = holders.file_of(engine)
    if path is not None and not path.exists():
        return None
    try:
        with engine.execution_options(read_only=True).connect() as connection:
            if not inspect(connection).has_table(_TABLE):
                return None
            return connection.execute(text(_READ)).scalar_one_or_none()
    except DBAPIError as error:
        raise ledger_error(error, engine) from error


def require_current(engine: Engine) -> None:
    """Refuse to work on a database of another release.

    Raises
    ------
    LedgerError
        The database cannot be reached, or is empty.
    OtherMigration
        It is at another migration.
    """
    found = current(engine)
    if found is None:
        raise LedgerError(f"there is no ledger yet; {HOW_TO_MAKE_ONE}")
    require(found)


def require_still(connection: Connection) -> None:
    """Refuse to go on, in an open transaction, on a ledger that was migrated meanwhile.

    Raises
    ------
    OtherMigration
        It is at another migration than this release's.
    """
    require(connection.exec_driver_sql(_READ).scalar_one())


def require(found: str) -> None:
    """Refuse a migration that is not this release's.

    Raises
    ------
    OtherMigration
        The message says whether this release or the ledger is the older.
    """
    require_known(found)
    if found != REVISION:
        raise OtherMigration(
            f"[database] url: the ledger is at migration {found}, this release needs {REVISION}; "
            "run 'dicom-node db upgrade'"
        )


def require_known(found: str | None) -> None:
    """Refuse a migration that this release does not know.

    Raises
    ------
    OtherMigration
        A newer release made it.
    """
    if found is not None and found not in KNOWN:
        raise OtherMigration(
            f"[database] url: the ledger is at migration {found}, which this release ({REVISION}) "
            "does not know: a newer release made it; install that release, or restore the backup "
            "that was made before"
        )

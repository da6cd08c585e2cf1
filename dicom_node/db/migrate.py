"""Migrations of the ledger (Alembic), run from inside the package."""

from __future__ import annotations

from importlib.resources import files

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from dicom_node.db.unit_of_work import ledger_error
from dicom_node.errors import LedgerError


def _configuration(engine: Engine) -> Config:
    configuration = Config()
    configuration.set_main_option("script_location", str(files("dicom_node.db") / "migrations"))
    configuration.attributes["engine"] = engine
    return configuration


def upgrade(engine: Engine) -> None:
    """Bring the database to this release's migration; a current one is left alone.

    Raises
    ------
    LedgerError
        The database cannot be reached.
    """
    try:
        command.upgrade(_configuration(engine), "head")
    except DBAPIError as error:
        raise ledger_error(error) from error


def current(engine: Engine) -> tuple[str | None, str | None]:
    """Revision that the database is at, and the one that this release needs.

    Raises
    ------
    LedgerError
        The database cannot be reached.
    """
    head = ScriptDirectory.from_config(_configuration(engine)).get_current_head()
    try:
        with engine.execution_options(read_only=True).connect() as connection:
            return MigrationContext.configure(connection).get_current_revision(), head
    except DBAPIError as error:
        raise ledger_error(error) from error


def require_current(engine: Engine) -> None:
    """Refuse to work on a database of another release.

    Raises
    ------
    LedgerError
        The database cannot be reached, is empty, or is at another migration.
    """
    found, needed = current(engine)
    if found != needed:
        raise LedgerError(
            f"the ledger's database is at migration {found or 'none'}, this release needs "
            f"{needed}; run 'dicom-node db upgrade'"
        )

"""Migrations of the ledger (Alembic), run from inside the package."""

from __future__ import annotations

from importlib.resources import files

from alembic import command
from alembic.config import Config
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from dicom_node.db.unit_of_work import ledger_error


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

"""Migrations of the ledger (Alembic), run from inside the package, by one process at a time."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from dicom_node.errors import ConfigError, LedgerError
from dicom_node.full_disk import reason_and_remedy
from dicom_node.ledger import holders, revision
from dicom_node.ledger.faults import ledger_error

LONGEST_WAIT: Final = 300.0
"""Seconds that one process waits for another to migrate; a large ledger takes a while."""

_LOOK_SECONDS: Final = 0.1
_LOCK: Final = 0x6469636F6D6E6F  # of the whole database, and nobody else's number
_WHO: Final = text(
    "SELECT a.pid, a.application_name, host(a.client_addr) FROM pg_locks l "
    "JOIN pg_stat_activity a USING (pid) WHERE l.locktype = 'advisory' AND l.granted "
    "AND (l.classid::bigint << 32) + l.objid::bigint = :lock AND l.database = "
    "(SELECT oid FROM pg_database WHERE datname = current_database()) LIMIT 1"
)


def upgrade(engine: Engine, *, wait_seconds: float = LONGEST_WAIT) -> None:
    """Bring the database to this release's migration; a current one is left alone.

    Raises
    ------
    ConfigError
        The folder of a ledger in SQLite cannot be made.
    LedgerError
        The database cannot be reached, or somebody else migrates it for too long.
    OtherMigration
        A newer release made the ledger; nothing was changed.
    """
    try:
        with _alone(engine, wait_seconds):
            found = revision.current(engine)
            revision.require_known(found)
            if found != revision.REVISION:
                command.upgrade(_configuration(engine), "head")
    except DBAPIError as error:
        raise ledger_error(error, engine) from error


def _configuration(engine: Engine) -> Config:
    configuration = Config()
    configuration.set_main_option("script_location", str(files("dicom_node.ledger") / "migrations"))
    configuration.attributes["engine"] = engine
    return configuration


@contextmanager
def _alone(engine: Engine, seconds: float) -> Iterator[None]:
    """Let no other process migrate meanwhile."""
    path = holders.file_of(engine)
    if path is not None:
        _make(path.parent)
        with _locked_file(path.with_name(path.name + ".migrating"), seconds):
            if not path.exists():
                path.touch()  # which is an empty ledger; engines open only what is there
            yield
    elif engine.dialect.name == "postgresql":
        with _locked_database(engine, seconds):
            yield
    else:
        yield


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        why = reason_and_remedy(
            error, "correct [storage] path, or give this user the right to write there"
        )
        raise ConfigError(f"the ledger's folder {folder} cannot be made: {why}") from error


@contextmanager
def _locked_file(path: Path, seconds: float) -> Iterator[None]:
    """Hold a file beside the ledger; it stays there, for a removed one is locked by nobody."""
    try:
        file = path.open("ab")
    except OSError as error:
        why = reason_and_remedy(error, "give this user the right to write there")
        raise LedgerError(f"the ledger's folder {path.parent} cannot be written: {why}") from error
    with file:

        def take() -> bool:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True

        _wait(
            take, lambda: str(holders.locked_whole(path) or "a process that is not seen"), seconds
        )
        yield


@contextmanager
def _locked_database(engine: Engine, seconds: float) -> Iterator[None]:
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:

        def take() -> bool:
            found = connection.execute(text("SELECT pg_try_advisory_lock(:lock)"), {"lock": _LOCK})
            return bool(found.scalar_one())

        _wait(take, lambda: _session(connection), seconds)
        try:
            yield
        finally:
            connection.execute(text("SELECT pg_advisory_unlock(:lock)"), {"lock": _LOCK})


def _session(connection: Connection) -> str:
    found = connection.execute(_WHO, {"lock": _LOCK}).first()
    if found is None:
        return "a session that cannot be seen"
    pid, name, address = found
    return f"session {pid} of the server ({name or 'unnamed'} at {address or 'the same machine'})"


def _wait(take: Callable[[], bool], who: Callable[[], str], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not take():
        if time.monotonic() >= deadline:
            raise LedgerError(
                f"[database] url: {who()} has been migrating the ledger for {seconds:.0f} s; wait "
                "for it, or end it, then try again: what it had not finished is rolled back"
            )
        time.sleep(_LOOK_SECONDS)

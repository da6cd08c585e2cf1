"""Connections to the ledger: SQLite in WAL mode, or PostgreSQL."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, NoSuchModuleError
from sqlalchemy.pool import ConnectionPoolEntry

from dicom_node.errors import ConfigError

_BUSY_MILLISECONDS = 30_000


def make_engine(url: str) -> Engine:
    """Make the engine for `url`; nothing is connected yet.

    SQLite runs in WAL mode with ``synchronous=FULL`` (a commit is on disk when it returns) and
    every transaction takes the write lock at its start, so that two processes wait for each other
    instead of failing half-way.

    Raises
    ------
    ConfigError
        If the URL is malformed or its driver is not installed.
    """
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() == "sqlite":
            return _sqlite(url, parsed.database)
        return create_engine(url, pool_pre_ping=True, pool_size=5, max_overflow=20)
    except (ArgumentError, NoSuchModuleError, ValueError) as error:
        raise ConfigError(  # the error may repeat the URL, and its password
            "[database] url is not the URL of a database that can be used; it looks like "
            "postgresql://USER:PASSWORD@HOST:5432/NAME, and without it the ledger is SQLite"
        ) from error
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"[database] url needs the Python package {error.name!r}; "
            "for PostgreSQL: pip install 'dicom-node[postgresql]'"
        ) from error


def _sqlite(url: str, database: str | None) -> Engine:
    if database and database != ":memory:":
        folder = Path(database).parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                f"the ledger's folder {folder} cannot be made: {error.strerror}; correct "
                "[storage] path, or give this user the right to write there"
            ) from error
    engine = create_engine(url, connect_args={"timeout": _BUSY_MILLISECONDS / 1000})

    @event.listens_for(engine, "connect")
    def _configure(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {_BUSY_MILLISECONDS}")
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Any) -> None:
        read_only = connection.get_execution_options().get("read_only", False)
        connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")

    return engine

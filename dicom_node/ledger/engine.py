"""Connections to the ledger: SQLite in WAL mode, or PostgreSQL."""

from __future__ import annotations

import os
import socket
from typing import Any, Final
from urllib.parse import quote

from sqlalchemy import URL, Engine, create_engine, event, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, NoSuchModuleError
from sqlalchemy.pool import ConnectionPoolEntry

from dicom_node.errors import ConfigError
from dicom_node.ledger import document
from dicom_node.ledger.bounds import COMMAND, Bounds
from dicom_node.ledger.identity import LedgerFile

_MOST_LOG_BYTES: Final = 64 * 2**20
"""What SQLite's write-ahead log is cut down to when it begins anew."""

MOST_PARAMETERS: Final = 1000
"""A database takes only so many in one statement."""

_KEEP_ALIVE: Final = {
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
"""A server whose machine is gone is found out within a minute, also while nothing is asked."""


_ON_DISK: Final = (
    "replace(current_setting('synchronous_commit'), 'off', 'on')"  # the server's own, if stricter
)
"""What a commit waits for: an image is answered when its row is on disk, and not before."""


def make_engine(url: str, bounds: Bounds = COMMAND) -> Engine:
    """Make the engine for `url`; nothing is connected yet.

    A commit is on disk when it returns, on PostgreSQL also where the server's
    ``synchronous_commit`` is off. SQLite runs in WAL mode with ``synchronous=FULL``, and every
    transaction takes the write lock at its start, so that two processes wait for each other
    instead of failing half-way.

    Parameters
    ----------
    url : str
    bounds : Bounds
        How long a connection, a lock and a statement are waited for.

    Raises
    ------
    ConfigError
        If the URL is malformed or its driver is not installed.
    """
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() == "sqlite":
            return _sqlite(url, parsed.database, bounds)
        return _postgresql(parsed, bounds)
    except (ArgumentError, NoSuchModuleError, ValueError) as error:
        raise ConfigError(  # the error may repeat the URL, and its password
            "[database] url is not the URL of a database that can be used; one looks like "
            "postgresql://USER:PASSWORD@HOST:5432/NAME, and without the key the ledger is SQLite"
        ) from error
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"[database] url needs the Python package {error.name!r}; "
            "for PostgreSQL: pip install 'dicom-node[postgresql]'"
        ) from error


def _postgresql(url: URL, bounds: Bounds) -> Engine:
    """Every transaction begins with a statement that finds out a connection that is no longer."""
    wanted: dict[str, int | str] = {
        "connect_timeout": bounds.connect,
        "fallback_application_name": f"dicom-node {socket.gethostname()}:{os.getpid()}",
        **_KEEP_ALIVE,
    }
    engine = create_engine(
        url,
        pool_size=5,
        max_overflow=20,
        pool_timeout=bounds.lock,
        connect_args={key: value for key, value in wanted.items() if key not in url.query},
    )
    settings = {
        "lock_timeout": bounds.lock,
        "statement_timeout": bounds.statement,
        "idle_in_transaction_session_timeout": bounds.transaction,
    }
    # Not as options of the connection: those a pooler between may refuse.
    words = ", ".join(
        f"set_config('{name}', '{0 if seconds is None else round(1000 * seconds)}', false)"
        for name, seconds in settings.items()
    )
    words += f", set_config('synchronous_commit', {_ON_DISK}, false)"

    @event.listens_for(engine, "connect")
    def _configure(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
        cursor = connection.cursor()
        cursor.execute(f"SELECT {words}")
        cursor.close()
        connection.commit()

    return engine


def _sqlite(url: str, database: str | None, bounds: Bounds) -> Engine:
    engine = create_engine(url, connect_args={"timeout": bounds.lock})
    file = LedgerFile(database) if database and database != ":memory:" else None

    @event.listens_for(engine, "do_connect")
    def _open(_dialect: Any, _entry: Any, arguments: list[Any], words: dict[str, Any]) -> None:
        """Open what is there: a migration makes the file, and nobody else.

        Where the file system is away for a while, an empty ledger in its place would be worked on
        when it is back; and SQLite, closing it, removes a write-ahead log by its path: that of the
        real one.
        """
        if file is not None and not words.get("uri"):
            arguments[0] = f"file:{quote(arguments[0])}?mode=rw"
            words["uri"] = True

    @event.listens_for(engine, "connect")
    def _configure(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
        connection.isolation_level = None
        connection.text_factory = document.text_of
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute(f"PRAGMA journal_size_limit = {_MOST_LOG_BYTES}")
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Any) -> None:
        if file is not None:
            file.require_same()
        read_only = connection.get_execution_options().get("read_only", False)
        connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")

    return engine

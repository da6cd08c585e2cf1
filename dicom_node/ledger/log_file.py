"""SQLite's write-ahead log: cut down when nothing is written, and who keeps it from it."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy import Engine

from dicom_node.ledger import holders
from dicom_node.ledger.holders import Holder

LARGE: Final = 16 * 2**20
"""Bytes from which on a log is worth a word; in use it stays at some 4 MB."""


@dataclass(frozen=True, slots=True)
class LongReader:
    """A process that keeps one transaction open, so that the log grows.

    Attributes
    ----------
    holder : Holder
    seconds : float
        How long it has been seen with it.
    """

    holder: Holder
    seconds: float


class LogFile:
    """The write-ahead log of one ledger, looked at now and then.

    Parameters
    ----------
    engine : sqlalchemy.Engine
    path : Path
        The ledger's file.
    clock : callable
        Seconds, monotonic.
    """

    def __init__(
        self, engine: Engine, path: Path, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._engine = engine
        self._ledger = path
        self._path = path.with_name(path.name + "-wal")
        self._clock = clock
        self._written = (0, 0)
        self._seen: dict[tuple[int, int], float] = {}

    @property
    def size(self) -> int:
        """Bytes of the log."""
        return self._status()[1]

    def look(self) -> Sequence[LongReader]:
        """Empty the log if nothing was written since the last look, or if it is large.

        Nobody is waited for, and nobody waits but for what was written last.

        Returns
        -------
        sequence of LongReader
            Of a large log that could not be emptied: who has been in its way since an earlier look.
        """
        written = self._status()
        idle, self._written = written == self._written, written
        if self.size and (idle or self.size > LARGE):
            self._empty()
            self._written = self._status()
        return self._long_readers() if self.size > LARGE else self._nobody()

    def _empty(self) -> None:
        with closing(self._engine.raw_connection()) as connection:
            cursor = connection.cursor()
            (patience,) = cursor.execute("PRAGMA busy_timeout").fetchone()
            cursor.execute("PRAGMA busy_timeout = 0")
            try:
                # The first keeps nobody from writing; it leaves little to the second, which does.
                cursor.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
                cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            except sqlite3.OperationalError:  # somebody writes: the next look comes
                pass
            finally:
                cursor.execute(f"PRAGMA busy_timeout = {patience}")

    def _long_readers(self) -> Sequence[LongReader]:
        now = self._clock()
        found = {(mark, holder.pid): holder for mark, holder in
                 holders.readers(self._ledger).items()}  # fmt: skip
        self._seen = {key: self._seen.get(key, now) for key in found}
        return [
            LongReader(found[key], now - since) for key, since in self._seen.items() if since < now
        ]

    def _nobody(self) -> Sequence[LongReader]:
        self._seen.clear()
        return ()

    def _status(self) -> tuple[int, int]:
        try:
            status = self._path.stat()
        except OSError:
            return (0, 0)
        return status.st_mtime_ns, status.st_size

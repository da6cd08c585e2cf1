"""Finds the process that holds a SQLite ledger's write lock and does not go on."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from dicom_node.ledger import holders
from dicom_node.ledger.holders import Holder

STOPPED_SECONDS: Final = 10.0
"""A process that was stopped goes on at once or, mostly, when somebody has found it."""

STILL_SECONDS: Final = 60.0
"""Far longer than any transaction of a running process."""


class StuckWriter:
    """Looks at who writes, now and then, without opening the ledger.

    Parameters
    ----------
    ledger : Path
        The ledger's file.
    stopped_seconds : float
        How long a process may be stopped with the lock.
    still_seconds : float
        How long one that runs may hold it while nothing is written.
    clock : callable
        Seconds, monotonic.
    """

    def __init__(
        self,
        ledger: Path,
        *,
        stopped_seconds: float = STOPPED_SECONDS,
        still_seconds: float = STILL_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ledger = ledger
        self._log_file = ledger.with_name(ledger.name + "-wal")
        self._stopped_seconds = stopped_seconds
        self._still_seconds = still_seconds
        self._clock = clock
        self._seen: tuple[int, bool, tuple[int, int]] | None = None
        self._since = 0.0

    def look(self) -> Holder | None:
        """The process that stands in everybody's way; None if there is none, or not yet."""
        holder = holders.writer(self._ledger)
        if holder is None:
            self._seen = None
            return None
        seen = (holder.pid, holder.stopped, self._written())
        if seen != self._seen:
            self._seen, self._since = seen, self._clock()
        limit = self._stopped_seconds if holder.stopped else self._still_seconds
        return holder if self._clock() - self._since >= limit else None

    def _written(self) -> tuple[int, int]:
        """Changes with every commit."""
        try:
            status = self._log_file.stat()
        except OSError:
            return (0, 0)
        return status.st_mtime_ns, status.st_size

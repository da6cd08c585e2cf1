"""Ends a database's connection from outside when a transaction takes too long.

A server that hangs, is stopped or is cut off answers nothing, and sends no error either: its own
timeouts do not run, and TCP's do not while the other machine's kernel acknowledges.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Protocol

_NEVER: Final = float("inf")


class HasSocket(Protocol):
    """A connection of a driver that has one socket."""

    def fileno(self) -> int:
        """Its number."""


@dataclass(slots=True, eq=False)
class WatchedTransaction:
    """One transaction under way; `ended` says that it was ended from outside."""

    connection: HasSocket
    until: float
    ended: bool = False


class Deadlines:
    """Watches the transactions of a process from one thread."""

    def __init__(self) -> None:
        self._changed: Final = threading.Condition()
        self._watched: Final[set[WatchedTransaction]] = set()
        self._thread: threading.Thread | None = None
        self._wakes_at = 0.0

    def watch(self, connection: HasSocket, until: float) -> WatchedTransaction:
        """End `connection` unless `over` is called before `until`, by ``time.monotonic()``."""
        watch = WatchedTransaction(connection, until)
        with self._changed:
            self._watched.add(watch)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="deadlines", daemon=True)
                self._thread.start()
            elif until < self._wakes_at:
                self._changed.notify()
        return watch

    def over(self, watch: WatchedTransaction) -> None:
        """Watch no longer: from here on the connection may be somebody else's."""
        with self._changed:
            self._watched.discard(watch)

    def _run(self) -> None:
        with self._changed:
            while True:
                now = time.monotonic()
                for watch in [each for each in self._watched if each.until <= now]:
                    self._watched.discard(watch)
                    watch.ended = True
                    _end(watch.connection)
                # An idle process is not woken: the next transaction does that.
                self._wakes_at = min((each.until for each in self._watched), default=_NEVER)
                left = self._wakes_at - now
                self._changed.wait(None if self._wakes_at == _NEVER else left)


def _end(connection: HasSocket) -> None:
    """Whoever waits for an answer finds the connection closed by the other side."""
    with suppress(OSError), socket.socket(fileno=os.dup(connection.fileno())) as end:
        end.shutdown(socket.SHUT_RDWR)

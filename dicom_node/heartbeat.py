"""Writes a process's signs of life into the ledger, for whoever asks whether the node runs."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from importlib.metadata import version
from types import TracebackType
from typing import Final, Self

import structlog

from dicom_node import signs
from dicom_node.bell.outbox import SilentBell
from dicom_node.errors import LedgerError, OtherLedger
from dicom_node.ledger import processes
from dicom_node.ledger.bounds import INTAKE
from dicom_node.ledger.engine import make_engine
from dicom_node.ledger.processes import WRITTEN_EVERY, Process, Role
from dicom_node.ledger.unit_of_work import Ledger
from dicom_node.process_names import process_name
from dicom_node.settings import Settings
from dicom_node.signs import Sign

_LONGEST_END: Final = 5.0


def open_ledger(settings: Settings) -> Ledger:
    """The ledger on a connection of its own, which is waited for no longer than a scanner does."""
    return Ledger(make_engine(settings.database_url, INTAKE), SilentBell(), bounds=INTAKE)


class Heartbeat:
    """Writes down the last sign, from a thread of its own, every few seconds.

    The thread gives no signs: what it writes is how long ago the process's own loop gave one. A
    ledger that is away is left alone until the next time.

    Parameters
    ----------
    ledger : Ledger
    role : Role
    place : str
        See `dicom_node.ledger.processes.Process`.
    last : callable, optional
        The last sign; absent, this process's own.
    every : float
        Seconds.
    """

    def __init__(
        self,
        ledger: Ledger,
        role: Role,
        place: str,
        last: Callable[[], Sign] = lambda: signs.own().last,
        every: float = WRITTEN_EVERY,
    ) -> None:
        self._ledger = ledger
        self._last = last
        self._every = every
        self._process = Process(
            process_name(), role.value, place, socket.gethostname(), os.getpid(),
            version("dicom-node"),
        )  # fmt: skip
        self._due = 0.0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
        self._log = structlog.get_logger("node")

    def begin(self) -> None:
        """Write from now on."""
        self._thread.start()

    def look(self) -> None:
        """Write if it is time to: for a process that has no threads, instead of `begin`."""
        if time.monotonic() >= self._due:
            self._due = time.monotonic() + self._every
            self._try()

    def end(self) -> None:
        """Write no more, and take the row away: the process ends in order."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(_LONGEST_END)
        with suppress(LedgerError), self._ledger.write() as unit:
            processes.over(unit, self._process.name)

    def __enter__(self) -> Self:
        self.begin()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.end()

    def _run(self) -> None:
        while self._try() and not self._stopped.wait(self._every):
            pass

    def _try(self) -> bool:
        """Write; False if the ledger is another release's, for good."""
        try:
            with self._ledger.write() as unit:
                sign = self._last()
                processes.beat(unit, self._process, timedelta(seconds=sign.age), sign.within)
        except OtherLedger:
            return False  # the process's own loop ends, and says why
        except LedgerError as error:
            self._log.debug("heartbeat.waiting", error=str(error))
        return True

"""Upkeep: plans what arrives, rings for what is due, takes back what died, forgets what is old."""

from __future__ import annotations

import math
import threading
import time
from datetime import timedelta
from typing import Final

import structlog

from dicom_node import signs
from dicom_node.errors import LedgerError, OtherLedger
from dicom_node.ledger import batches, holders, parcels, processes, ringing, turns
from dicom_node.ledger.clock import Waits
from dicom_node.ledger.log_file import LogFile
from dicom_node.ledger.unit_of_work import Ledger
from dicom_node.routing.planning import LEASE, Planner
from dicom_node.settings import Settings
from dicom_node.spool.spool import Spool
from dicom_node.upkeep.chores import PAUSE_AFTER_ERROR, Chore
from dicom_node.upkeep.retention import MOST_TO_FORGET, Retention
from dicom_node.upkeep.taking_back import take_back_gone
from dicom_node.upkeep.timekeeping import Machine, Timekeeper

_CATCH_UP_SECONDS: Final = 1.0
_RETENTION_SECONDS: Final = 600.0
_LOG_SECONDS: Final = 10.0
_SAY_AGAIN_SECONDS: Final = 300.0
_THIS_MACHINE: Final = Machine()
_LONGEST_RETRY: Final = timedelta(minutes=10)
"""Of a batch, whatever it waits for."""


def waits(settings: Settings) -> Waits:
    """The longest that anything in the ledger waits under these settings."""
    again = timedelta(seconds=settings.delivery.retry_longest_seconds)
    return Waits(
        batch=timedelta(seconds=settings.workers.lease_seconds),
        parcel=timedelta(seconds=settings.delivery.lease_seconds),
        instance=LEASE,
        due=max(_LONGEST_RETRY, again),
    )


class Upkeep:
    """The loop of ``dicom-node upkeep``. Several may run; the ledger keeps them apart."""

    def __init__(
        self,
        settings: Settings,
        ledger: Ledger,
        spool: Spool,
        planner: Planner,
        machine: Machine = _THIS_MACHINE,
    ) -> None:
        self._settings = settings
        self._ledger = ledger
        self._planner = planner
        self._time = Timekeeper(ledger, waits(settings), machine)
        self._limits = settings.limits
        self.retention = Retention(settings, ledger, spool)
        path = holders.file_of(ledger.engine)
        self._log_file = None if path is None else LogFile(ledger.engine, path)
        self._said_at = -_SAY_AGAIN_SECONDS
        self._log = structlog.get_logger("upkeep")

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set; a database or disk that is away is waited for.

        A fault in one chore does not hold up the others.

        Raises
        ------
        OtherLedger
            Somebody has migrated or replaced the ledger meanwhile.
        """
        poll = self._settings.upkeep.poll_seconds
        chores = (
            Chore("start", self.start, math.inf),
            Chore("plan", lambda: bool(self._planner.plan()), poll),
            Chore("close", lambda: bool(self._planner.close_batches()), poll),
            Chore("catch up", self.catch_up, _CATCH_UP_SECONDS),
            # What is too much for one transaction is forgotten in the next.
            Chore("forget", self.forget_old, _RETENTION_SECONDS),
            Chore("shorten", self.shorten_log, _LOG_SECONDS),
        )
        while not stop.is_set():
            try:
                for chore in chores:
                    signs.own().give(signs.PIECE)
                    chore.do()
            except OtherLedger as error:
                self._log.critical(
                    "ledger.other", error=str(error),
                    next="upkeep ends; it is started again by whoever supervises it",
                )  # fmt: skip
                raise
            except LedgerError as error:
                self._log.error("upkeep.waiting", error=str(error))
                stop.wait(PAUSE_AFTER_ERROR)
                continue
            pause = min(chore.wait for chore in chores)
            if pause:
                stop.wait(pause)

    def start(self) -> bool:
        """Put right what was left while no upkeep ran; there is never more of it."""
        self._time.start()
        take_back_gone(self._ledger)
        return False

    def forget_old(self) -> bool:
        """Forget, unless a clock was just set; True if there is more to forget at once."""
        if self._time.unsettled():
            self._log.error(
                "upkeep.keeps_all", why="a clock was set forward less than a day ago",
                next="what is old is removed again after that day",
            )  # fmt: skip
            return False
        self._forget_processes()
        return self.retention.forget() >= MOST_TO_FORGET

    def _forget_processes(self) -> None:
        with self._ledger.read() as session:
            if not processes.any_forgotten(session):
                return
        with self._ledger.write() as unit:
            processes.forget(unit)

    def shorten_log(self) -> bool:
        """Empty SQLite's log while nothing is written; name who keeps it from that."""
        if self._log_file is None:
            return False
        readers, size = self._log_file.look(), self._log_file.size // 2**20
        if readers and time.monotonic() - self._said_at >= _SAY_AGAIN_SECONDS:
            self._said_at = time.monotonic()
            for each in readers:
                self._log.warning(
                    "ledger.long_reader", pid=each.holder.pid, command=each.holder.command,
                    seconds=round(each.seconds), log_megabytes=size,
                    remedy=f"end it, or let it go on: while it reads the log grows; "
                    f"'kill {each.holder.pid}' harms nothing that it has not written",
                )  # fmt: skip
        return False

    def catch_up(self) -> bool:
        """Take back what died and ring for what is due; losing the whole broker loses nothing.

        False: there is never more of it.
        """
        self._time.look()  # or a clock that was set would have everybody's lease run out
        with self._ledger.read() as session:
            expired = ringing.any_expired(session, session.at)
        if expired:
            with self._ledger.write() as unit:
                taken = batches.take_back_expired(unit)
                returned = parcels.take_back_expired(unit)
            if taken or returned:
                self._log.warning("upkeep.taken_back", batches=taken, parcels=returned)
        take_back_gone(self._ledger)
        with self._ledger.read() as session:
            rings = turns.due(session, session.at, self._limits)
        for ring in rings:
            self._ledger.bell.ring(ring)
        return False

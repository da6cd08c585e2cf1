"""Notices that the ledger's clock was set: time that passed there against time that passed here."""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog

from dicom_node.ledger import clock
from dicom_node.ledger.clock import Waits
from dicom_node.ledger.unit_of_work import Ledger

_SECONDS: Final = timedelta(seconds=5)
"""Clocks that are kept in step are moved by less at a time."""


def elapsed() -> float:
    """Seconds since this machine started, also while it was suspended; no clock changes them."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if sys.platform == "linux" else time.monotonic()


def wall_clock() -> datetime:
    """What this machine's clock shows, UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Machine:
    """The clocks of this machine.

    Attributes
    ----------
    passed : callable
        Seconds that have passed since some moment.
    now : callable
        What the clock shows, UTC; files have this time.
    """

    passed: Callable[[], float] = elapsed
    now: Callable[[], datetime] = wall_clock


class Clock:
    """Compares a clock with the time that passed, from one look to the next.

    Parameters
    ----------
    now : callable
        Reads the clock, UTC.
    passed : callable
        Seconds that have passed since some moment.

    Attributes
    ----------
    between : timedelta
        Time that passed between the last two looks.
    """

    def __init__(self, now: Callable[[], datetime], passed: Callable[[], float] = elapsed) -> None:
        self.between = timedelta(0)
        self._now = now
        self._passed = passed
        self._last: tuple[datetime, float, float] | None = None

    def jumped(self) -> timedelta:
        """How far the clock was set since the last look; zero if it was not.

        A process that is held up in the middle of a look sees no jump for it.
        """
        began = self._passed()
        at = self._now()
        ended = self._passed()
        last, self._last = self._last, (at, began, ended)
        if last is None:
            return timedelta(0)
        self.between = timedelta(seconds=ended - last[1])
        moved = at - last[0]
        least, most = timedelta(seconds=began - last[2]), self.between
        if moved > most + _SECONDS:
            return moved - most
        if moved < least - _SECONDS:
            return moved - least
        return timedelta(0)


class Timekeeper:
    """Looks at the ledger's clock, and has what a jump would delay or hurry looked at anew.

    Parameters
    ----------
    ledger : Ledger
    waits : Waits
    machine : Machine
        Whose time it is compared with.
    """

    def __init__(self, ledger: Ledger, waits: Waits, machine: Machine) -> None:
        self._ledger = ledger
        self._waits = waits
        self._clock = Clock(ledger.clock, machine.passed)
        # Files have this machine's time, and a database server its own.
        has_server = ledger.engine.dialect.name != "sqlite"
        self._here = Clock(machine.now, machine.passed) if has_server else None
        self._pending = self._pending_here = timedelta(0)
        self._log = structlog.get_logger("upkeep")

    def start(self) -> None:
        """Look for what was written by a clock that was ahead, while nobody compared.

        Raises
        ------
        LedgerError
            The ledger is away; look again.
        """
        self._clock.jumped()
        with self._ledger.read() as session:
            back = clock.set_back_since(session, session.at)
        if back < -_SECONDS:
            self._settle(back)
            return
        with self._ledger.write() as unit:
            changed = clock.clamp(unit, self._waits)
        if changed:
            self._log.error("clock.times_corrected", rows=changed)

    def look(self) -> None:
        """Compare, before anything is done that goes by the ledger's time.

        Raises
        ------
        LedgerError
            The ledger is away; a jump that was seen is not forgotten.
        """
        self._pending += self._clock.jumped()
        if self._pending:
            self._settle(self._pending)
            self._pending = timedelta(0)
        if self._here is not None:
            self._pending_here += self._here.jumped()
        if self._pending_here:
            self._tell(self._pending_here)
            self._pending_here = timedelta(0)

    def unsettled(self) -> bool:
        """Whether a clock was set forward within a day, so that what is old may be young.

        Raises
        ------
        LedgerError
            The ledger is away.
        """
        self.look()
        with self._ledger.read() as session:
            return clock.unsettled(session, session.at)

    def _settle(self, jump: timedelta) -> None:
        with self._ledger.write() as unit:
            if not clock.settle(unit, jump, self._waits, self._clock.between):
                return
        self._log.error(
            "clock.jumped", seconds=round(jump.total_seconds(), 3),
            done="waits and leases in the ledger were corrected",
            remedy="let a time service keep the clock of the ledger's machine in step",
        )  # fmt: skip

    def _tell(self, jump: timedelta) -> None:
        with self._ledger.write() as unit:
            clock.tell(unit, jump, socket.gethostname())
        self._log.error(
            "clock.jumped", seconds=round(jump.total_seconds(), 3), clock="this machine's",
            done="nothing in the ledger goes by it; if it was set forward nothing is removed for "
            "a day",
            remedy="let a time service keep it in step",
        )  # fmt: skip

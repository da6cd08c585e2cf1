"""Chores of upkeep: done again and again, each guarded from what goes wrong in the others."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import structlog

from dicom_node.errors import LedgerError, RetryLater

PAUSE_AFTER_ERROR: Final = 2.0
_LONGEST_PAUSE: Final = 300.0


class Chore:
    """One thing to do every so often.

    Parameters
    ----------
    name : str
        For the log.
    what : callable
        Does it; True if there is more of it to do at once.
    every : float
        Seconds from one time to the next.
    clock : callable
        Seconds, monotonic.
    """

    def __init__(
        self,
        name: str,
        what: Callable[[], bool],
        every: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = name
        self._what = what
        self._every = every
        self._clock = clock
        self._next = clock()
        self._faults = 0
        self._log = structlog.get_logger("upkeep")

    @property
    def wait(self) -> float:
        """Seconds until it is due; 0 if it is."""
        return max(0.0, self._next - self._clock())

    def do(self) -> None:
        """Do it, if it is due. What is away is waited for; any other fault waits ever longer.

        Raises
        ------
        LedgerError
            The ledger is away, for all chores alike.
        """
        if self.wait:
            return
        try:
            more = self._what()
        except RetryLater as error:
            self._next = self._clock() + PAUSE_AFTER_ERROR
            if isinstance(error, LedgerError):
                raise
            self._log.error("upkeep.waiting", chore=self._name, error=str(error))
        except Exception as error:  # noqa: BLE001 -- the other chores go on
            self._faults += 1
            pause = min(_LONGEST_PAUSE, PAUSE_AFTER_ERROR * 2 ** min(self._faults - 1, 16))
            self._next = self._clock() + pause
            self._log.error("upkeep.fault", chore=self._name, again_seconds=pause, exc_info=error)
        else:
            self._faults = 0
            self._next = self._clock() + (0.0 if more else self._every)

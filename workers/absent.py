"""Model versions that this process could not run a moment ago: others may take their batches."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

_SECONDS: Final = 30.0


class Absent:
    """Remembers for half a minute what could not be run here.

    Parameters
    ----------
    clock : callable
        Monotonic time, seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._until: dict[str, float] = {}

    def add(self, sha256: str) -> None:
        """Note a model version."""
        self._until[sha256] = self._clock() + _SECONDS

    def now(self) -> frozenset[str]:
        """The sha256 of each model version not to be tried now."""
        at = self._clock()
        self._until = {sha256: until for sha256, until in self._until.items() if until > at}
        return frozenset(self._until)

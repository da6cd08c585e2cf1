"""The time, as a test wants it."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from dicom_node.upkeep.timekeeping import Machine


def age(*paths: Path, seconds: float = 48 * 3600.0) -> None:
    """Have files look as old as a test wants them, two days by itself."""
    then = time.time() - seconds
    for path in paths:
        os.utime(path, (then, then))


class Clock:
    """The time, as the test wants it."""

    def __init__(self) -> None:
        self._set = datetime(2026, 1, 1, tzinfo=UTC)
        self._passed = 0.0
        self._running_since: float | None = None

    def __call__(self) -> datetime:
        return self.at

    @property
    def at(self) -> datetime:
        """What the clock shows."""
        return self._set + timedelta(seconds=self._ran)

    @at.setter
    def at(self, at: datetime) -> None:
        self._set = at - timedelta(seconds=self._ran)

    @property
    def passed(self) -> float:
        """Seconds that have passed, whatever the clock was set to."""
        return self._passed + self._ran

    @property
    def machine(self) -> Machine:
        """A machine that it is the clock of."""
        return Machine(lambda: self.passed, self)

    @property
    def _ran(self) -> float:
        return 0.0 if self._running_since is None else time.monotonic() - self._running_since

    def run(self) -> None:
        """From here on time passes by itself."""
        self._running_since = time.monotonic()

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._set += timedelta(seconds=seconds)
        self._passed += seconds

    def jump(self, seconds: float) -> None:
        """Set the clock; no time passes."""
        self._set += timedelta(seconds=seconds)

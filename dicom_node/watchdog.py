"""A watchdog: a process that hangs in one object says where, and ends."""

from __future__ import annotations

import faulthandler
from collections.abc import Iterator
from contextlib import contextmanager


class Watchdog:
    """Ends the process if what it watches takes too long; its supervisor starts another.

    The try of the object was counted before, so that it is not begun without end. A thread of C
    keeps the time: it ends also what holds the interpreter's lock, such as a decoder. The error
    stream gets files, lines and functions of every thread, and no values.

    Parameters
    ----------
    seconds : float
        How long one look may take.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Watch the body. One at a time in a process: a second one takes the place of the first."""
        faulthandler.dump_traceback_later(self._seconds, exit=True)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()

"""Signs of life: the loop of a process says that it goes round, to whoever started it.

A sign is given where a round is made, never by a thread beside it, and says within what time the
next one comes at the latest: whoever computes for minutes says so before. The way to a supervisor
is a pipe, that to systemd its own socket; neither needs the ledger, the spool or the broker.
"""

from __future__ import annotations

import os
import socket
import stat
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Final, Protocol

ROUND: Final = 180.0
"""Seconds in which the next round begins, of a loop in which nothing is waited for for long."""

PIECE: Final = 600.0
"""Seconds in which one piece of work ends: a chore, a few images, one transfer. Far longer than any
takes, also while the ledger, the disk or the machine is slow."""

LONGEST: Final = 1800.0
"""Seconds to start, to build an engine, or to end in order."""

_VARIABLE: Final = "DICOM_NODE_SIGNS"
_SELDOM: Final = 1.0
_MOST_HEARD: Final = 65_536


@dataclass(frozen=True, slots=True)
class Sign:
    """The last sign of a process.

    Attributes
    ----------
    age : float
        Seconds, monotonic.
    within : float
        Seconds from one sign to the next at the most.
    """

    age: float
    within: float


class Listener(Protocol):
    """Whom a process tells."""

    def tell(self, within: float) -> None:
        """Tell that there was a sign; must neither raise nor wait."""


class Signs:
    """The signs of one process.

    Parameters
    ----------
    listeners : sequence of Listener
    clock : callable
        Seconds, monotonic.
    """

    def __init__(
        self, listeners: Sequence[Listener] = (), clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._listeners = tuple(listeners)
        self._clock = clock
        self._last = (clock(), LONGEST)
        self._ending = False
        self._told = (-_SELDOM, 0.0)

    def give(self, within: float = ROUND) -> None:
        """Give a sign. As often as one likes: no more than one a second is told, or what is new."""
        at = self._clock()
        within = LONGEST if self._ending else within
        self._last = (at, within)
        if within == self._told[1] and at - self._told[0] < _SELDOM:
            return
        self._told = self._last
        for listener in self._listeners:
            listener.tell(within)

    def ending(self) -> None:
        """The process ends in order: it finishes what is in hand, and no loop goes round."""
        self._ending = True
        self.give()

    @property
    def last(self) -> Sign:
        """The last sign; the first is that the process has begun."""
        at, within = self._last
        return Sign(self._clock() - at, within)


class Pipe:
    """Tells the supervisor, through what was inherited from it."""

    def __init__(self, descriptor: int) -> None:
        os.set_inheritable(descriptor, False)
        os.set_blocking(descriptor, False)
        self._descriptor = descriptor

    def tell(self, within: float) -> None:
        """One line; one that finds no room is left out: the supervisor has others to read."""
        with suppress(OSError):
            os.write(self._descriptor, f"{within:g}\n".encode())


class Systemd:
    """Tells systemd, which ends a unit with ``WatchdogSec=`` that is silent (sd_notify(3))."""

    def __init__(self, path: str, *, watched: bool) -> None:
        self._path = f"\0{path[1:]}" if path.startswith("@") else path
        self._watched = watched
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.setblocking(False)

    def tell(self, within: float) -> None:
        """That the unit has started, which counts once; and its sign."""
        words = "READY=1"
        if self._watched:
            words += f"\nWATCHDOG_USEC={round(within * 1e6)}\nWATCHDOG=1"
        with suppress(OSError):
            self._socket.sendto(words.encode(), self._path)


class Hearing:
    """The supervisor's end of one child's pipe.

    Attributes
    ----------
    silence : float
        Seconds without a sign, of those in which somebody listened.
    within : float
        Seconds in which the child said that there would be another; until its first, `LONGEST`.
    """

    def __init__(self) -> None:
        self.silence = 0.0
        self.within = LONGEST
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        self._rest = b""

    @property
    def inherited(self) -> tuple[int, ...]:
        """What the child inherits."""
        return (self._write,)

    def environment(self) -> dict[str, str]:
        """How the child finds it."""
        return {_VARIABLE: f"{self._write}:{os.fstat(self._write).st_ino}"}

    def begun(self) -> None:
        """The child has its end now."""
        os.close(self._write)

    def hear(self, passed: float) -> None:
        """Read what was told; `passed` seconds went by since the last time."""
        self.silence += passed
        with suppress(BlockingIOError):
            while data := os.read(self._read, _MOST_HEARD):
                *lines, self._rest = (self._rest + data).split(b"\n")
                with suppress(ValueError):  # nobody else writes there
                    for line in lines:
                        self.silence, self.within = 0.0, float(line)

    def close(self) -> None:
        """Hear no more."""
        if self._read >= 0:
            os.close(self._read)
            self._read = -1


@cache
def own() -> Signs:
    """The signs of this process."""
    return Signs(_listeners())


def for_children(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment without what is only for this process."""
    own_words = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", _VARIABLE)
    return {name: each for name, each in environment.items() if name not in own_words}


def _listeners() -> list[Listener]:
    found: list[Listener] = []
    descriptor = _inherited(os.environ.pop(_VARIABLE, ""))
    if descriptor is not None:
        found.append(Pipe(descriptor))
    path = os.environ.get("NOTIFY_SOCKET", "")
    if path:
        mine = os.environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        found.append(Systemd(path, watched=mine and "WATCHDOG_USEC" in os.environ))
    return found


def _inherited(said: str) -> int | None:
    """The pipe of that number, if it is the one that was meant."""
    words = said.split(":")
    if len(words) != 2 or not all(word.isdecimal() for word in words):  # noqa: PLR2004
        return None
    descriptor, inode = map(int, words)
    try:
        status = os.fstat(descriptor)
    except OSError:
        return None
    return descriptor if stat.S_ISFIFO(status.st_mode) and status.st_ino == inode else None

"""Names of processes, under which they hold work, and whether a process of this machine still runs.

A number is given to the next process, and in a container it is the same each time; so a name says,
too, when the process started, since which start of the machine, and in which namespaces.
"""

from __future__ import annotations

import os
import socket
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

_STARTED: Final = 19
"""Place of the start time in /proc/PID/stat, counted behind the command: proc(5), field 22."""

_DEAD: Final = frozenset("ZXx")
"""States of a process that does nothing any more, whether or not its parent has looked."""


class Incarnation(NamedTuple):
    """What tells a process from another one of the same number; empty where it cannot be read."""

    boot: str
    processes: str
    network: str
    started: str


def process_name() -> str:
    """``host:pid:incarnation`` of this process; leases are held under it."""
    return _name(os.getpid())


@cache
def _name(pid: int) -> str:
    incarnation = _incarnation(pid)
    end = "" if incarnation is None else f":{'.'.join(incarnation)}"
    return f"{socket.gethostname()}:{pid}{end}"


def runs_here(name: str) -> bool | None:
    """Whether a process of this machine runs, by its `process_name`.

    Returns
    -------
    bool or None
        None for one of another machine, and for one in a container beside this one, of which
        nobody here can say: its lease will tell.
    """
    host, _, rest = name.partition(":")
    pid, _, said = rest.partition(":")
    if host != socket.gethostname() or not pid.isdecimal():
        return None
    if not said:
        return _exists(int(pid))
    parts, ours = said.split("."), _incarnation(os.getpid())
    if ours is None or len(parts) != len(ours):
        return None
    return _runs(int(pid), Incarnation(*parts), ours)


def _runs(pid: int, theirs: Incarnation, ours: Incarnation) -> bool | None:
    if theirs.boot != ours.boot:
        return False
    if theirs.processes == ours.processes:
        found = _incarnation(pid)
        if found is None:  # perhaps /proc shows only what is of one's own user
            return None if _exists(pid) else False
        return found == theirs
    # Another container: a sibling, if it shares our network; else an earlier life of this one, for
    # no two machines, nor containers with networks of their own, may have one host name.
    return None if theirs.network == ours.network else False


def _incarnation(pid: int) -> Incarnation | None:
    """That of a process in this one's namespace; None if it does not run or cannot be seen."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
        own = Path("/proc/self/ns")
        processes, network = (f"{(own / kind).stat().st_ino:x}" for kind in ("pid", "net"))
    except OSError:
        return None
    state, *fields = stat.rpartition(")")[2].split()
    started = "over" if state in _DEAD else fields[_STARTED - 1]
    return Incarnation(boot[:8], processes, network, started)


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True

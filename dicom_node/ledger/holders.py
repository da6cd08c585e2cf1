"""Who holds a SQLite ledger, as the kernel's list of locks has it (Linux: ``/proc/locks``).

Nothing here opens the ledger's files: closing one in a process that has the ledger open would drop
that process's own locks (fcntl(2)). Elsewhere than on Linux nobody is named.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Final

from sqlalchemy import Engine

_WRITE: Final = (120,)
_READ_MARKS: Final = tuple(range(123, 128))
"""Bytes of the ``-shm`` file that SQLite locks in WAL mode (sqlite.org/walformat.html)."""

_TRACED: Final = "t"
_STOPPED: Final = "T" + _TRACED
_WORD: Final = re.compile(r"[a-z][a-z-]*")
_MOST_WORDS: Final = 2


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that holds a lock.

    Attributes
    ----------
    pid : int
    command : str
        What it is: its program and the words after it, without options, paths or secrets.
    state : str
        As ``/proc/PID/stat`` has it: R, S, D, Z, T (stopped), t (a debugger holds it).
    seconds : float
        How long it has run; the lock is not older.
    """

    pid: int
    command: str
    state: str
    seconds: float

    @property
    def stopped(self) -> bool:
        """Whether it does nothing until somebody lets it go on."""
        return self.state in _STOPPED

    @property
    def remedy(self) -> str:
        """What lets one that is stopped go on."""
        if self.state == _TRACED:
            return "a debugger holds it: let it go on there"
        return f"let it go on with 'kill -CONT {self.pid}'"

    def __str__(self) -> str:
        who = "this process" if self.pid == os.getpid() else f"process {self.pid}"
        return f"{who} ({self.command}{', stopped' if self.stopped else ''})"


@dataclass(frozen=True, slots=True)
class _Lock:
    kind: str
    pid: int
    device: str
    inode: int
    first: int
    last: int | None

    def covers(self, byte: int) -> bool:
        """Neighbouring locks of a process are listed as one."""
        return self.first <= byte and (self.last is None or byte <= self.last)


def file_of(engine: Engine) -> Path | None:
    """The file of a ledger in SQLite; None for any other."""
    database = engine.url.database
    if engine.dialect.name != "sqlite" or not database or database == ":memory:":
        return None
    return Path(database)


def writer(ledger: Path) -> Holder | None:
    """The process inside a write transaction on the ledger in this file, if one is seen."""
    return next(iter(_holders(_shm(ledger), "POSIX", _WRITE)), None)


def readers(ledger: Path) -> dict[int, Holder]:
    """The processes inside a transaction on the ledger in this file, by the read mark they hold.

    A mark that the same process holds from one look to the next is one long transaction: short
    ones take the newest mark each time. Of several with one mark, one is named.
    """
    found: dict[int, Holder] = {}
    for mark in _READ_MARKS:
        for holder in _holders(_shm(ledger), "POSIX", (mark,)):
            found[mark] = holder
    return found


def locked_whole(path: Path) -> Holder | None:
    """The process that has taken the whole of a file with ``flock``, if one is seen."""
    return next(iter(_holders(path, "FLOCK", (0,))), None)


def runs(pid: int) -> Holder | None:
    """What a process is; None if it has ended, or this user may not see it."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text("ascii", "replace")
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode("utf-8", "replace").split("\0")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    started = int(fields[19]) / os.sysconf("SC_CLK_TCK")
    seconds = max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - started)
    return Holder(pid, _command(words), fields[0], seconds)


def _shm(ledger: Path) -> Path:
    return ledger.with_name(ledger.name + "-shm")


def _holders(path: Path, kind: str, wanted: Iterable[int]) -> list[Holder]:
    try:
        status = path.stat()
    except OSError:
        return []
    device = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}"
    found: dict[int, Holder] = {}
    for lock in _locks():
        if lock.kind != kind or lock.inode != status.st_ino or lock.pid in found:
            continue
        if not any(lock.covers(byte) for byte in wanted):
            continue
        # A layered file system names another device than the one that holds the lock.
        if lock.device != device and not _has_open(lock.pid, path):
            continue
        holder = runs(lock.pid)
        if holder is not None:
            found[lock.pid] = holder
    return list(found.values())


def _locks() -> Iterator[_Lock]:
    try:
        lines = Path("/proc/locks").read_text("ascii", "replace").splitlines()
    except OSError:
        return
    for line in lines:
        fields = line.split()
        if len(fields) != 8 or fields[1] == "->":  # noqa: PLR2004 -- "->" waits for a lock
            continue
        device, _, inode = fields[5].rpartition(":")
        last = None if fields[7] == "EOF" else int(fields[7])
        yield _Lock(fields[1], int(fields[4]), device, int(inode), int(fields[6]), last)


def _has_open(pid: int, path: Path) -> bool:
    try:
        whole = path.resolve()
        return any(each.readlink() == whole for each in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return False


def _command(words: Sequence[str]) -> str:
    """A command line's program and first words; what follows may be anybody's business."""
    named = [PurePath(word).name for word in words]
    if {"celery", "workers"} & {*named, *words}:
        queue = words[words.index("-Q") + 1] if "-Q" in words[:-1] else ""
        return f"celery worker {queue}".strip()
    for name, shown in (("dicom_node", "dicom-node"), ("dicom-node", "dicom-node")):
        if name in named[:4]:
            rest = words[named.index(name) + 1 :]
            after = [word for word in rest[:_MOST_WORDS] if _WORD.fullmatch(word)]
            return " ".join([shown, *after])
    return named[0] if named and named[0] else "a kernel's thread"

"""What the trial asks of the operating system: signals, private mounts, orphans, a false clock."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

import psutil

_MARK: Final = "CHAOS_TRIAL"
_LOOKS: Final = 3
_CLONE_NEWNS: Final = 0x00020000
_PR_SET_CHILD_SUBREAPER: Final = 36
_FAKETIME: Final = ("*/faketime/libfaketime.so.1", "faketime/libfaketime.so.1")


def adopt_orphans() -> None:
    """Become the parent of what the node's processes leave behind, so that it can be ended."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)


def watch_over() -> None:
    """See to it that nothing outlives this process, however it ends.

    A process of its own waits for that and then kills what has this process's mark in its
    environment, which all that it starts inherit.
    """
    mark = uuid.uuid4().hex
    os.environ[_MARK] = mark
    alive, ours = os.pipe()
    child = os.fork()
    if child != 0:
        os.close(alive)
        os.waitpid(child, 0)
        return
    if os.fork() != 0:  # so that the watcher is nobody's child whom this process would end
        os._exit(0)
    os.setsid()
    os.close(ours)
    os.read(alive, 1)  # nothing comes; it ends with the process that holds the other end
    _kill_marked(mark)
    os._exit(0)


def _kill_marked(mark: str) -> None:
    for _ in range(_LOOKS):  # something may be starting something
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                if process.environ().get(_MARK) == mark:
                    process.kill()


def private_mounts() -> bool:
    """Take mounts of one's own, which go away with the process; False where that is not allowed."""
    if sys.platform != "linux" or shutil.which("mount") is None:
        return False
    if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNS) != 0:
        return False
    done = subprocess.run(["mount", "--make-rprivate", "/"], capture_output=True, check=False)
    return done.returncode == 0


def mount_memory(folder: Path, megabytes: int) -> None:
    """Put a file system of that size, in memory, into a folder."""
    options = f"size={megabytes}m,mode=0755"
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "chaos", str(folder)], check=True, timeout=10
    )


def unmount(folder: Path) -> None:
    """Take a file system away again, at once."""
    subprocess.run(["umount", "-l", str(folder)], check=False, capture_output=True, timeout=10)


def faketime() -> Path | None:
    """The library that gives a process a false clock, if it is installed."""
    return next(
        (path for pattern in _FAKETIME for path in sorted(Path("/usr/lib").glob(pattern))), None
    )


def send_signal(processes: Iterable[psutil.Process], number: signal.Signals) -> None:
    """Signal processes; one that has gone is no error."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)


def end_descendants() -> int:
    """Kill every process that this one has brought into the world; returns how many there were."""
    left = psutil.Process().children(recursive=True)
    send_signal(left, signal.SIGKILL)
    _, alive = psutil.wait_procs(left, timeout=10)
    while True:  # orphans that were adopted
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                break
        except ChildProcessError:
            break
    return len(left) - len(alive)


def sqlite_writer(database: Path) -> int | None:
    """Id of the process that is in a write transaction on a SQLite database in WAL mode.

    It holds byte 120 of the shared memory file (sqlite.org/walformat.html, 2.3.2).
    """
    try:
        inode = database.with_name(database.name + "-shm").stat().st_ino
        lines = Path("/proc/locks").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    for line in lines:
        words = line.split()
        if len(words) == 8 and words[3] == "WRITE" and words[5].endswith(f":{inode}"):
            first, last = words[6:8]
            if int(first) <= 120 and (last == "EOF" or int(last) >= 120):
                return int(words[4])
    return None


def take_room(folder: Path) -> None:
    """Make the file system of `mount_memory` as small as what is in it."""
    status = os.statvfs(folder)
    used = (status.f_blocks - status.f_bfree) * status.f_frsize // 1024
    for more in (16, 64, 256, 1024, 4096):  # something may have been written meanwhile
        if _resize(folder, f"{used + more}k"):
            return
    raise OSError("the spool's file system cannot be made smaller")


def give_room(folder: Path, megabytes: int = 4096) -> None:
    """Undo `take_room`."""
    _resize(folder, f"{megabytes}m")


def _resize(folder: Path, size: str) -> bool:
    command = ["mount", "-o", f"remount,size={size}", str(folder)]
    return subprocess.run(command, capture_output=True, check=False, timeout=10).returncode == 0


def take_away(folder: Path, *, mounted: bool) -> None:
    """Leave an empty folder where a folder was: its file system is unmounted, or it is renamed."""
    aside = folder.with_name(folder.name + ".away")
    if mounted:
        aside.mkdir(exist_ok=True)
        subprocess.run(["mount", "--move", str(folder), str(aside)], check=True, timeout=10)
        return
    folder.rename(aside)
    folder.mkdir()


def put_back(folder: Path, *, mounted: bool) -> None:
    """Undo `take_away`; what was written in the empty folder meanwhile is hidden for good."""
    aside = folder.with_name(folder.name + ".away")
    if mounted:
        subprocess.run(["mount", "--move", str(aside), str(folder)], check=True, timeout=10)
        return
    folder.rename(folder.with_name(f"{folder.name}.hidden-{os.urandom(4).hex()}"))
    aside.rename(folder)

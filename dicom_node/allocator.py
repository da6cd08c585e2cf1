"""What the C library's allocator keeps: bounded, and given back after a burst.

The allocator of glibc gives each thread that finds the others busy an arena of its own, up to
eight times the number of cores, and raises the size from which a block is mapped by itself to that
of the largest such block that was ever freed. A process that serves each association in two threads
with a buffer of 0.4 MB therefore keeps most of what its largest burst took. Elsewhere, such as with
musl or on macOS, nothing is done and nothing needs to be.
"""

from __future__ import annotations

import ctypes
import platform
from functools import cache
from typing import Any, Final

_M_MMAP_THRESHOLD: Final = -3
_M_ARENA_MAX: Final = -8

ARENAS: Final = 2
MAPPED_BYTES: Final = 128 * 1024


@cache
def _glibc() -> Any | None:
    return ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None


def bound() -> bool:
    """Limit the arenas to two, and map blocks from 128 KiB by themselves; call it at the start.

    Returns
    -------
    bool
        Whether there is an allocator that can be told so.
    """
    library = _glibc()
    if library is None:
        return False
    return bool(
        library.mallopt(_M_ARENA_MAX, ARENAS) and library.mallopt(_M_MMAP_THRESHOLD, MAPPED_BYTES)
    )


def trim() -> None:
    """Give free memory back to the system; takes some milliseconds, others need not wait."""
    library = _glibc()
    if library is not None:
        library.malloc_trim(0)

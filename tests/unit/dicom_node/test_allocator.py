"""Free memory goes back to the system, where the C library is glibc."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

KEEPER = """
import ctypes
from pathlib import Path
from dicom_node import allocator

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

if {bounded}:
    assert allocator.bound()
library = ctypes.CDLL(None)
library.malloc.restype = ctypes.c_void_p
library.free.argtypes = [ctypes.c_void_p]
for size in ({sizes}):
    blocks = [library.malloc(size) for _ in range(64 * 1024 * 1024 // size)]
    for block in blocks:
        ctypes.memset(block, 1, size)
    full = resident()
    # The last block stays in use: what lies below it cannot be given back by shortening the heap.
    for block in blocks[:-1]:
        library.free(block)
    if {trimmed}:
        allocator.trim()
print((full - resident()) >> 20)
"""

glibc = pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="this allocator is not told anything"
)


def given_back(*sizes: int, bounded: bool, trimmed: bool) -> int:
    """Megabytes, of 64 that were used and freed."""
    code = KEEPER.format(
        sizes="".join(f"{size}, " for size in sizes), bounded=bounded, trimmed=trimmed
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    return int(done.stdout)


@glibc
def test_a_large_block_goes_back_when_it_is_freed_however_large_the_last_one_was() -> None:
    assert given_back(400_000, 400_000, 390_000, bounded=True, trimmed=False) > 60


@glibc
def test_small_blocks_go_back_when_it_is_asked_for() -> None:
    assert given_back(1000, bounded=True, trimmed=False) < 10
    assert given_back(1000, bounded=True, trimmed=True) > 55

"""A disk that is full: whoever meets it, spool, ledger or broker, says it in the same words."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from model_store.disk import FULL

SAID: Final = "the disk is full; free disk space"
"""What is said of it."""

_LEAST: Final = 65_536
"""Bytes without which not even a ledger can be opened (SQLite keeps 32 KiB beside it)."""


def reason_of(error: OSError) -> str:
    """What an error says of its reason, without the path that it names."""
    if error.errno in FULL:
        return SAID
    return os.strerror(error.errno) if error.errno else type(error).__name__


def reason_and_remedy(error: OSError, remedy: str) -> str:
    """Its reason, and what to do; a full disk has a remedy of its own."""
    said = reason_of(error)
    return said if error.errno in FULL else f"{said}; {remedy}"


def is_full(folder: Path) -> bool:
    """Whether the file system of a folder has nothing left; False if nobody can say."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return False
    return found.f_bavail * found.f_frsize < _LEAST

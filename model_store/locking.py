"""One process at a time: a lock that ends with the process that holds it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(path: Path, mode: int = 0o600) -> Iterator[None]:
    """Hold a lock file; others that ask for it wait.

    Parameters
    ----------
    path : Path
        Made with `mode` if it is not there; it stays.

    Raises
    ------
    OSError
        If it cannot be made or locked, or is a link.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)

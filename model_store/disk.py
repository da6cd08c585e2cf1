"""What makes names durable, and how a disk says that it is full."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Final

FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
"""Errors of a disk or a quota that is used up."""

NO_MORE: Final = FULL | {errno.EFBIG}
"""Those, and of a file that grows no longer."""


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable.

    Raises
    ------
    OSError
        If that fails.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

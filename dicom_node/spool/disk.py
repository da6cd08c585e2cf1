"""The disk under the spool: what makes bytes and names durable, and its errors in our words."""

from __future__ import annotations

import errno
import getpass
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from dicom_node import full_disk
from dicom_node.errors import OutOfSpace, StorageError
from model_store.disk import NO_MORE

_DENIED: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


def fdatasync(descriptor: int) -> None:
    """Make a file's bytes durable."""
    getattr(os, "fdatasync", os.fsync)(descriptor)


@contextmanager
def making(root: Path) -> Iterator[None]:
    """Turn an `OSError` of making the folders into ours, which says who may not write there."""
    spool = f"the spool {root} ([storage] path)"
    with disk_errors(f"{spool} cannot be read"):
        there = root.exists()
    try:
        yield
    except OSError as error:
        if there and error.errno in _DENIED:
            raise StorageError(
                f"{spool} is there, but {_user()} cannot write to it: {os.strerror(error.errno)}; "
                "let that user own it, mount it writable, or name another folder"
            ) from error
        with disk_errors(f"{spool} cannot be {'written' if there else 'made'}"):
            raise


def _user() -> str:
    try:
        return f"user {getpass.getuser()} (uid {os.getuid()})"
    except (KeyError, OSError):  # a container's user may have no name
        return f"uid {os.getuid()}"


@contextmanager
def disk_errors(message: str) -> Iterator[None]:
    """Turn an `OSError` into ours; its own text is left out, because it names a path."""
    try:
        yield
    except OSError as error:
        kind = OutOfSpace if error.errno in NO_MORE else StorageError
        raise kind(f"{message}: {full_disk.reason_of(error)}") from error

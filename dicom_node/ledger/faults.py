"""What a database's error means for the node, in one line without secrets."""

from __future__ import annotations

import os
import pwd
from contextlib import suppress
from typing import Final

from sqlalchemy import Engine
from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    IntegrityError,
    NotSupportedError,
    ProgrammingError,
)

from dicom_node import full_disk
from dicom_node.errors import CommitInDoubt, LedgerError
from dicom_node.ledger import holders

_READ_ONLY: Final = "attempt to write a readonly database"
_BUSY: Final = ("database is locked", "database table is locked")
_FULL: Final = ("database or disk is full", "No space left on device")
_REFUSALS: Final = (DataError, IntegrityError, NotSupportedError, ProgrammingError)


def ledger_error(error: DBAPIError, engine: Engine | None = None) -> LedgerError:
    """Say what the database said, without statement, parameters or credentials.

    Parameters
    ----------
    error : DBAPIError
    engine : Engine, optional
        Of the ledger; of one that is locked, it is said by whom.
    """
    text = str(error.orig).splitlines()[0] if error.orig and str(error.orig) else "no answer"
    if engine is not None and text in _BUSY:
        return LedgerError(f"[database] url: the ledger is locked: {_by_whom(engine)}")
    if engine is not None and text == _READ_ONLY:
        return LedgerError(f"[database] url: {_whose(engine)}")
    if _is_full(text, engine):
        return LedgerError(f"[database] url: the ledger cannot be written: {full_disk.SAID}")
    return LedgerError(f"[database] url: the ledger's database answered: {text}")


def busy(seconds: float) -> LedgerError:
    """Say that none of this process's own connections became free."""
    return LedgerError(
        f"[database] url: all connections of this process to the ledger were in use for "
        f"{seconds:.0f} s; it is tried again"
    )


def silent(seconds: float) -> LedgerError:
    """Say that the server took a connection and then answered nothing."""
    return LedgerError(
        f"[database] url: the ledger's database has not answered for {seconds:.0f} s; see whether "
        "its server is stopped, out of memory or cut off; it is tried again"
    )


def in_doubt() -> CommitInDoubt:
    """Say that the connection was lost between a commit and its answer."""
    return CommitInDoubt(
        "[database] url: the ledger's database did not say whether it has committed; "
        "whoever needs to know asks it again"
    )


def is_read_only(error: DBAPIError) -> bool:
    """Whether this process may read a ledger in SQLite and not write it.

    A connection that found it so stays so: another has to be opened once it may.
    """
    return str(error.orig) == _READ_ONLY


def is_refusal(error: BaseException) -> bool:
    """Whether a database is there and refused what it was asked: what was written is at fault."""
    return isinstance(error, LedgerError) and isinstance(error.__cause__, _REFUSALS)


def _is_full(text: str, engine: Engine | None) -> bool:
    """SQLite says it in two ways, the second before its first write; PostgreSQL in the system's."""
    if any(words in text for words in _FULL):
        return True
    path = None if engine is None else holders.file_of(engine)
    return text == "disk I/O error" and path is not None and full_disk.is_full(path.parent)


def _whose(engine: Engine) -> str:
    """Which of the ledger's files, or their folder, this user may not write."""
    path = holders.file_of(engine)
    files = [] if path is None else [path.parent, *sorted(path.parent.glob(f"{path.name}*"))]
    for file in files:
        if not os.access(file, os.W_OK, effective_ids=os.access in os.supports_effective_ids):
            with suppress(OSError):
                return (
                    f"the ledger cannot be written: {file} belongs to {_name(file.stat().st_uid)}, "
                    f"and this process is {_name(os.geteuid())}; "
                    f"'chown {_name(os.geteuid())} {file}' as root; nothing has to be restarted"
                )
    return "the ledger cannot be written: its file system is read-only; remount it"


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _by_whom(engine: Engine) -> str:
    path = holders.file_of(engine)
    holder = None if path is None else holders.writer(path)
    if holder is None:
        return (
            "a process that cannot be seen wrote for too long (it may just have ended, or be in "
            "another container); the write is tried again"
        )
    if holder.stopped:
        return f"{holder} was stopped while it wrote, so nobody else can write; {holder.remedy}"
    return (
        f"{holder} has been writing for too long; the write is tried again; if it does not end, "
        f"'kill -9 {holder.pid}' is safe, for what it had not committed is taken back"
    )

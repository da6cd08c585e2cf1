"""Whether the ledger is still the one that a process began to work on.

SQLite goes on writing into a file that was removed, and says that all is well; and a database that
was dropped and made anew, or a file that another was copied over, answers as if nothing had been.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sqlalchemy import Connection, select

from dicom_node.errors import LedgerError, OtherLedger
from dicom_node.ledger.tables import SpoolRow

FIRST_MARKER: Final = select(SpoolRow.marker).order_by(SpoolRow.made_at, SpoolRow.marker).limit(1)
"""Marker of the ledger's spool; the one that was there first counts."""

_REMEDY: Final = (
    "this process ends. Put back the one that was there, or start the node on this one: what was "
    "received since it was made is then in the spool only"
)


class LedgerFile:
    """The file of a ledger in SQLite, as it was when it was first opened.

    Parameters
    ----------
    path : str
    """

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._first: tuple[int, int] | None = None

    def require_same(self) -> None:
        """Refuse to work on a file that has no name any more.

        Raises
        ------
        LedgerError
            It is gone; it may come back.
        OtherLedger
            Another file is in its place.
        """
        try:
            found = self._path.stat()
        except OSError as error:
            raise LedgerError(
                f"[database] url: the ledger {self._path} is gone ({error.strerror}): mount its "
                "volume, or put it back; nothing is accepted until then"
            ) from error
        identity = found.st_dev, found.st_ino
        if self._first is None:
            self._first = identity
        elif self._first != identity:
            raise OtherLedger(
                f"[database] url: {self._path} is another file than this process opened (its -wal "
                f"and -shm belong to it); {_REMEDY}"
            )


class Identity:
    """A ledger, told by the marker of its spool."""

    def __init__(self) -> None:
        self._marker: str | None = None

    def require_same(self, connection: Connection) -> None:
        """Refuse to go on, in an open transaction, in another ledger at the same address.

        Raises
        ------
        OtherLedger
            It is another one.
        """
        found = connection.execute(FIRST_MARKER).scalar_one_or_none()
        if self._marker is None:
            self._marker = found
        elif self._marker != found:
            raise OtherLedger(
                "[database] url: another ledger is there than the one that this process began to "
                f"work on; {_REMEDY}"
            )

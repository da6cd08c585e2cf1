"""A file of which no reader takes more than it may, however its bytes are nested."""

from __future__ import annotations

import os
from typing import BinaryIO


class TooMuch(ValueError):
    """More was asked of a file than is given; whoever reads on finds it ended."""


class BoundedReader:
    """Reads from a file, counting bytes and calls.

    pydicom reads every element, and every item of a sequence of undefined length, with calls of
    its own and an object of its own: eight bytes of a file become a thousand in memory. Values
    that are skipped cost nothing.

    Parameters
    ----------
    file : BinaryIO
        Open for reading.
    most_bytes : int
    most_reads : int
        Calls of `read`; an element takes two or three.
    """

    def __init__(self, file: BinaryIO, most_bytes: int, most_reads: int) -> None:
        self._file = file
        self._bytes = most_bytes
        self._reads = most_reads
        self.exceeded = False

    def read(self, size: int = -1) -> bytes:
        """Read as a file does.

        Raises
        ------
        TooMuch
            One of the bounds is reached.
        """
        self._reads -= 1
        if self._reads < 0 or self._bytes < 0:
            self.exceeded = True
            raise TooMuch
        data = self._file.read(size)
        self._bytes -= len(data)
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place, as a file does."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Where it is."""
        return self._file.tell()

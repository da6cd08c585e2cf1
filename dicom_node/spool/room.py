"""Room in the spool: what its file system has left above the watermark.

The reserve under the watermark is for the ledger and the broker, which lie on the same file system
as a rule, and for what has to be written to get out of there.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from dicom_node.errors import OutOfSpace
from dicom_node.settings.sections import StorageSettings
from dicom_node.spool.spool import Spool

_LASTS = 0.5


@dataclass(frozen=True, slots=True)
class Free:
    """What a file system has left: bytes, and the part of it from 0 (full) to 1 (empty)."""

    size: int
    fraction: float

    @classmethod
    def of(cls, spool: Spool) -> Self:
        """Measure it.

        Raises
        ------
        SpoolAway, StorageError
            Nobody can say.
        """
        spool.require_there()
        return cls(spool.free_bytes(), spool.free_fraction())


@dataclass(frozen=True, slots=True)
class Watermark:
    """What is to stay free; the stricter of both counts."""

    size: int
    fraction: float

    @classmethod
    def of(cls, settings: StorageSettings) -> Self:
        """As it is set."""
        return cls(settings.minimum_free_megabytes * 2**20, settings.minimum_free_percent / 100)

    def leaves(self, free: Free, more: int = 0) -> bool:
        """Whether it is kept, also after `more` bytes."""
        return free.size - more >= self.size and free.fraction >= self.fraction


class Room:
    """Whether a process may write more results.

    Parameters
    ----------
    spool : Spool
    watermark : Watermark
    clock : callable
        Seconds, monotonic.

    Attributes
    ----------
    lasts : float
        Seconds until it is measured again.
    """

    def __init__(
        self, spool: Spool, watermark: Watermark, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.lasts = _LASTS
        self._spool = spool
        self._watermark = watermark
        self._clock = clock
        self._measured: tuple[float, Free] | None = None

    def lacking(self, size: int = 0) -> str:
        """Why `size` bytes more may not be written; empty if they may.

        Raises
        ------
        SpoolAway, StorageError
            Nobody can say.
        """
        at = self._clock()
        if self._measured is None or at - self._measured[0] >= self.lasts:
            self._measured = at, Free.of(self._spool)
        free = self._measured[1]
        if self._watermark.leaves(free, size):
            return ""
        return (
            f"the disk is full but for its reserve: {free.size // 2**20} MB free "
            f"({100 * free.fraction:.1f} %), and [storage] minimum_free_* is to stay free; free "
            "disk space or lower it"
        )

    def require(self, size: int = 0) -> None:
        """Refuse to write past the watermark.

        Raises
        ------
        OutOfSpace
            There is no room for `size` bytes.
        SpoolAway, StorageError
            Nobody can say.
        """
        why = self.lacking(size)
        if why:
            raise OutOfSpace(why)

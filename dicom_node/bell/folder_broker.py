"""The embedded broker: each ring is a file in a folder.

A file appears whole or not at all, and taking it is removing it: of several readers, the one whose
removal succeeds has it. What is in it is not needed. A folder, a link or a pipe under the name of a
ring is none; it is left where it is and never opened. Whoever removes the folder has only flushed
the broker.
"""

from __future__ import annotations

import errno
import json
import os
import stat
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Final

from dicom_node.bell.rings import MOST_BYTES, message
from dicom_node.errors import BrokerAway
from dicom_node.full_disk import reason_of

_PART: Final = ".part"
_PART_SECONDS: Final = 60.0
_TAKEN: Final = (errno.ENOENT, errno.ESTALE)


class FolderRings:
    """Rings in a folder; implements `dicom_node.bell.rings.Rings`.

    Parameters
    ----------
    folder : Path
        Made when the first ring is put.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def where(self) -> str:
        """Its folder."""
        return str(self._folder)

    def put(self, queue: str, ledger_id: int) -> None:
        """Make a ring visible once it is complete."""
        path = self._folder / f"{time.time_ns():020d}_{uuid.uuid4().hex}.{queue}.msg"
        part = path.with_name(f"{path.name}{_PART}")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            part.write_text(json.dumps(message(queue, ledger_id)), encoding="utf-8")
            part.rename(path)
        except OSError as error:
            with suppress(OSError):
                part.unlink()
            raise _away(error) from error

    def take(self, queue: str) -> bytes | None:
        """Take the oldest ring of a queue that nobody else took."""
        for name in sorted(self._names(f".{queue}.msg")):
            path = self._folder / name
            data = _read(path)
            try:
                path.unlink()
            except OSError as error:
                if error.errno in _TAKEN:
                    continue
                raise _away(error) from error
            return data
        self._remove_parts()
        return None

    def waiting(self, queue: str) -> int:
        """How many rings of a queue wait."""
        return len(self._names(f".{queue}.msg"))

    def _names(self, suffix: str) -> list[str]:
        try:
            with os.scandir(self._folder) as entries:
                return [
                    entry.name
                    for entry in entries
                    if entry.name.endswith(suffix) and entry.is_file(follow_symlinks=False)
                ]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise _away(error) from error

    def _remove_parts(self) -> None:
        """Remove what somebody who was killed left half written."""
        for name in self._names(_PART):
            path = self._folder / name
            with suppress(OSError):
                if path.stat().st_mtime < time.time() - _PART_SECONDS:
                    path.unlink()


def _read(path: Path) -> bytes:
    """What a file holds, as far as it can be read: nobody needs it."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.read(file, MOST_BYTES + 1) if stat.S_ISREG(os.fstat(file).st_mode) else b""
    except OSError:
        return b""
    finally:
        os.close(file)


def _away(error: OSError) -> BrokerAway:
    return BrokerAway(f"the embedded broker's folder cannot be used: {reason_of(error)}")

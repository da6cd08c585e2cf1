"""The spool: atomic files, keyed by UID."""

from __future__ import annotations

import hashlib
import os
import re
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from dicom_node.errors import FailItem, SpoolAway, StorageError
from dicom_node.spool.disk import disk_errors, fdatasync, making
from model_store.disk import sync_folder

_UID: Final = re.compile(r"[0-9]+(\.[0-9]+)*")
_UID_LENGTH: Final = 64
SHARDS: Final = 256
"""Folders of instances, and of results."""

MARKER: Final = "spool.marker"
"""Name of the file in the root that says which spool it is."""

_BUFFER: Final = 64 * 1024
_NAME: Final = re.compile(r"(instances|results)/[0-9a-f]{2}/[0-9a-zA-Z._-]+\.dcm")


@dataclass(frozen=True, slots=True)
class SpoolFile:
    """A file of an instance or a result, as it was found in the spool.

    Attributes
    ----------
    path
        Relative to the root.
    written_at
        Time of its last write, seconds since the epoch.
    """

    path: str
    written_at: float


class IncomingFile:
    """A file that is being received: written once, then committed or discarded.

    Made by `Spool.incoming`; a file that is never committed is removed by `discard`, or after a
    crash by `Spool.sweep_incoming`.

    Raises
    ------
    OutOfSpace
        From every method that writes, when the disk or the quota is full.
    StorageError
        From every method that writes, for any other fault of the disk.
    """

    __slots__ = ("_file", "path")

    def __init__(self, path: Path) -> None:
        self.path: Final = path
        with disk_errors("a file cannot be opened in the spool"):
            self._file = path.open("xb", buffering=_BUFFER)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append `data`; it is not durable before `sync`."""
        with disk_errors("a file cannot be written to the spool"):
            self._file.write(data)

    def sync(self) -> None:
        """Make what was written durable and close the file."""
        with disk_errors("a file cannot be made durable in the spool"):
            self._file.flush()
            fdatasync(self._file.fileno())
            self._file.close()

    def discard(self) -> None:
        """Close and remove the file; a file that is gone already is no error."""
        with suppress(OSError):
            self._file.close()
        with disk_errors("a file cannot be removed from the spool"):
            self.path.unlink(missing_ok=True)


class Spool:
    """All files of the node under one root, on one file system.

    ::

        spool.marker                    which spool this is
        incoming/                       files being received; nothing here survives a restart
        instances/3f/1.2.3-<token>.dcm  as received
        results/9a/1.2.4-<token>.dcm    encoded results

    A name is given once: every reception and every result that is made has a token of its own, and
    a file is written once. Whoever wrote a file removes it until a row of the ledger names it; from
    then on only whoever has taken the name from the row does. So nobody can remove what another
    process has put there, whatever the order of events.

    The folder of a file is the first byte of the SHA-256 of its UID, so that no folder grows large
    and a hostile UID cannot choose its folder.

    Parameters
    ----------
    root
        It must be on one file system: commits are renames.
    marker
        Which spool it must be. Absent: whichever it is, and one that has no marker gets one; what
        is missing is made.
    away
        Whether it may be away now.

    Attributes
    ----------
    marker : str
        32 hexadecimal digits, in a file in the root.

    Raises
    ------
    SpoolAway
        It is not there, or another one is.
    StorageError
        The folders cannot be made, or are there and cannot be written.
    """

    def __init__(self, root: Path, *, marker: str | None = None, away: bool = False) -> None:
        self.root: Final = root.absolute()
        self._incoming: Final = self.root / "incoming"
        self._instances: Final = self.root / "instances"
        self._results: Final = self.root / "results"
        self.marker: Final = self._made_marker() if marker is None else marker
        if not self.is_there():
            if away:
                return
            self.require_there()
        with making(self.root):
            self._incoming.mkdir(exist_ok=True)
            for parent in (self._instances, self._results):
                parent.mkdir(exist_ok=True)
                for shard in range(SHARDS):
                    (parent / f"{shard:02x}").mkdir(exist_ok=True)
                sync_folder(parent)
            sync_folder(self.root)

    def is_there(self) -> bool:
        """Whether the spool is mounted: its root has its marker."""
        return found_marker(self.root) == self.marker

    def require_there(self) -> None:
        """Refuse a spool that is away.

        Raises
        ------
        SpoolAway
            Its root has no marker, or another one; the message says what to do.
        """
        found = found_marker(self.root)
        if found == self.marker:
            return
        spool = f"the spool {self.root} ([storage] path) is away"
        remedy = f"; if this is its folder all the same, write {self.marker} into {MARKER} in it"
        if found is None:
            raise SpoolAway(f"{spool}: is it mounted? Its folder has no {MARKER}{remedy}")
        raise SpoolAway(f"{spool}: another ledger's is in its place, with {MARKER} {found}{remedy}")

    def _made_marker(self) -> str:
        """The marker that is there; a new one where there is none. Made by one process only."""
        found = found_marker(self.root)
        if found is not None:
            return found
        new = self.root / f"{MARKER}.{uuid.uuid4().hex}"
        with making(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
            try:
                with new.open("x", encoding="ascii") as file:
                    file.write(uuid.uuid4().hex + "\n")
                    file.flush()
                    os.fsync(file.fileno())
                with suppress(FileExistsError):
                    (self.root / MARKER).hardlink_to(new)
            finally:
                new.unlink(missing_ok=True)
            sync_folder(self.root)
        found = found_marker(self.root)
        if found is None:
            raise StorageError(f"the spool {self.root} ([storage] path): {MARKER} holds no marker")
        return found

    def incoming(self) -> IncomingFile:
        """Open a new, empty file with a name of its own in the incoming folder."""
        return IncomingFile(self._incoming / f"{uuid.uuid4().hex}.part")

    def instance_path(self, sop_instance_uid: str) -> Path:
        """Return a new name for an instance, which nobody else has.

        Parameters
        ----------
        sop_instance_uid
            As received. One that is no UID is replaced by a hash, never used in a path.
        """
        return _new_path(self._instances, sop_instance_uid)

    def result_path(self, sop_instance_uid: str) -> Path:
        """Return a new name for a result, which nobody else has."""
        return _new_path(self._results, sop_instance_uid)

    def name(self, path: Path) -> str:
        """Return what a row calls a file: its path relative to the root."""
        return str(path.relative_to(self.root))

    def path(self, name: str) -> Path:
        """Return where the file is that a row names.

        Raises
        ------
        FailItem
            It is no name of a file in the spool.
        """
        if not _NAME.fullmatch(name):
            raise FailItem("the ledger's row names no file of the spool: the row was changed")
        return self.root / name

    def commit(self, temp: Path, final: Path) -> None:
        """Move a written file into its place, durably: it is there whole, or not at all.

        Parameters
        ----------
        temp
            A file in the incoming folder that was synced (`IncomingFile.sync`).
        final
            From `instance_path` or `result_path`.
        """
        with disk_errors(f"{final.stem}: cannot be put in its place in the spool"):
            temp.rename(final)
            sync_folder(final.parent)
        try:
            self.require_there()
        except SpoolAway:  # what is put under an empty mount point is nowhere
            self.remove(final)
            raise

    def write_atomic(self, path: Path, data: bytes) -> None:
        """Write `data` to `path`, durably: it is there whole, or not at all."""
        file = self.incoming()
        try:
            file.write(data)
            file.sync()
            self.commit(file.path, path)
        except StorageError:
            with suppress(StorageError):
                file.discard()
            raise

    def open(self, name: str, what: str) -> BinaryIO:
        """Open the file that a row names, for reading.

        Parameters
        ----------
        name
            As in the row.
        what
            What messages call the object, such as its SOP Instance UID.

        Raises
        ------
        FailItem
            The file is gone, or `name` is no name of a file in the spool.
        SpoolAway
            It may be there: the spool is not.
        StorageError
            It cannot be opened.
        """
        path = self.path(name)
        try:
            with disk_errors(f"{what}: cannot be read from the spool"):
                return path.open("rb")
        except StorageError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                self.require_there()
                raise FailItem(
                    f"{what}: its file is no longer in the spool; send it again"
                ) from error
            raise

    def written_at(self, name: str) -> float | None:
        """Time of a file's last write, seconds since the epoch; None if it is gone."""
        with disk_errors("a file of the spool cannot be found"):
            try:
                return self.path(name).stat().st_mtime
            except FileNotFoundError:
                return None

    def touch(self, name: str) -> None:
        """Let a file count as written now; one that is gone is no error."""
        with disk_errors("a file of the spool cannot be touched"), suppress(FileNotFoundError):
            os.utime(self.path(name))

    def remove(self, path: Path) -> None:
        """Remove a file; one that is gone already is no error."""
        with disk_errors(f"{path.stem}: cannot be removed from the spool"):
            path.unlink(missing_ok=True)

    def files(self, shard: int) -> list[SpoolFile]:
        """Return the files of instances and results in one of the 256 folders of each.

        Parameters
        ----------
        shard
            0-255.
        """
        found: list[SpoolFile] = []
        with disk_errors("a folder of the spool cannot be read"):
            for parent in (self._instances, self._results):
                for path in (parent / f"{shard:02x}").iterdir():
                    with suppress(FileNotFoundError):
                        found.append(SpoolFile(self.name(path), path.stat().st_mtime))
        return found

    def sweep_incoming(self, older_than: float = 0.0) -> int:
        """Remove what a crash left in the incoming folder.

        Parameters
        ----------
        older_than
            Seconds since the last write; 0 removes everything, which is right only while nothing
            is being received.

        Returns
        -------
        int
            How many files were removed.
        """
        limit = time.time() - older_than
        removed = 0
        with disk_errors("the incoming folder of the spool cannot be swept"):
            for path in self._incoming.iterdir():
                with suppress(FileNotFoundError):
                    if older_than <= 0 or path.stat().st_mtime < limit:
                        path.unlink()
                        removed += 1
        return removed

    def free_bytes(self) -> int:
        """Return how many bytes a process without privileges can still write."""
        with disk_errors("the file system of the spool does not answer"):
            status = os.statvfs(self.root)
        return status.f_bavail * status.f_frsize

    def free_fraction(self) -> float:
        """Return the free part of the file system, from 0 (full) to 1 (empty)."""
        with disk_errors("the file system of the spool does not answer"):
            status = os.statvfs(self.root)
        return status.f_bavail / status.f_blocks if status.f_blocks else 0.0


def found_marker(root: Path) -> str | None:
    """Return the marker of the spool in a folder, or None if there is none.

    Raises
    ------
    StorageError
        It cannot be read.
    """
    try:
        with disk_errors(f"the spool {root} ([storage] path): {MARKER} cannot be read"):
            found = (root / MARKER).read_bytes().strip().decode("ascii", "replace")
    except StorageError as error:
        if isinstance(error.__cause__, FileNotFoundError | NotADirectoryError):
            return None
        raise
    return found if re.fullmatch(r"[0-9a-f]{32}", found) else None


def _safe(uid: str) -> str:
    if len(uid) <= _UID_LENGTH and _UID.fullmatch(uid):
        return uid
    return "x" + hashlib.sha256(uid.encode("utf-8", "surrogatepass")).hexdigest()


def _shard(uid: str) -> str:
    return hashlib.sha256(uid.encode("utf-8", "surrogatepass")).hexdigest()[:2]


def _new_path(parent: Path, uid: str) -> Path:
    return parent / _shard(uid) / f"{_safe(uid)}-{uuid.uuid4().hex}.dcm"

"""Model versions in a folder, added whole or not at all.

Beside what `model_store.store` describes::

    drl-ct/1.0.0.removed      sha256 of the manifest of a version that was removed
    .history/000001-1c2d.json one entry of the history each
    .incoming-5f6a/           what is being added; left over if the process was killed
    .lock                     held while anything is added or removed
"""

from __future__ import annotations

import errno
import hashlib
import json
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from model_store.disk import NO_MORE, sync_folder
from model_store.errors import (
    ContentError,
    ManifestError,
    ModelIntegrityError,
    SignatureError,
    UnknownModelError,
    VersionTakenError,
)
from model_store.file_names import MANIFEST
from model_store.locking import locked
from model_store.ref import ModelName
from model_store.store import ModelVersion
from model_store.trust.signature import SIGNATURE, Signature
from model_store.version_files import VersionFiles, write_synced

HISTORY: Final = ".history"
REMOVED: Final = ".removed"
_INCOMING: Final = ".incoming-"
_LOCK: Final = ".lock"
_ENTRY: Final = re.compile(r"(\d+)-[0-9a-f]+\.json")


class FolderContent:
    """Model versions in one folder of this machine.

    Parameters
    ----------
    folder : Path
        Made when something is first written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, files: VersionFiles) -> ModelVersion:
        """Add a version, or complete the one that is there with the same manifest.

        A version that is there is never replaced. Files of it that were damaged are put back, and
        a signature that it lacked is put beside it.

        Raises
        ------
        VersionTakenError
            If the version is there with another manifest or signature, or was, and was removed.
        ContentError
            If it cannot be written, for example because the disk is full; nothing is left then.
        """
        place = self.place(ModelName(files.ref.name, files.ref.version))
        with self._working():
            refuse_removed(files, _read(_note(place)))
            if (place / MANIFEST).is_file():
                self._complete(place, files)
            else:
                self._move_in(place, files)
        return ModelVersion.open(place)

    def remove(self, name: ModelName) -> None:
        """Delete the files of a version. Its name and version stay taken, unless it was damaged.

        Raises
        ------
        UnknownModelError
            If it is not there.
        ContentError
            If it cannot be removed.
        """
        place = self.place(name)
        with self._working():
            manifest = _read(place / MANIFEST)
            if manifest is None:
                raise UnknownModelError(f"no model {name} in {self.folder}")
            with suppress(ManifestError, ModelIntegrityError, SignatureError):
                VersionFiles.read(place)
                self._replace(_note(place), hashlib.sha256(manifest).hexdigest().encode())
            waste = self._incoming()
            place.rename(waste)
            shutil.rmtree(waste)

    def append_history(self, entry: dict[str, Any]) -> None:
        """Keep an entry of the history; entries are never changed.

        Raises
        ------
        ContentError
            If it cannot be written.
        """
        with self._working():
            folder = self.folder / HISTORY
            folder.mkdir(exist_ok=True)
            name = entry_name([path.name for path in folder.iterdir()])
            self._replace(folder / name, encode_entry(entry))

    def history(self) -> list[dict[str, Any]]:
        """The entries of the history, the oldest first.

        Raises
        ------
        ContentError
            If one cannot be read.
        """
        folder = self.folder / HISTORY
        names = sorted(path.name for path in folder.glob("*.json"))
        try:
            return [decode_entry((folder / name).read_bytes(), name) for name in names]
        except OSError as error:
            raise ContentError(f"{folder}: {error.strerror or error}") from error

    def place(self, name: ModelName) -> Path:
        """Where a version is, or would be."""
        return self.folder / name.name / name.tag

    def _move_in(self, place: Path, files: VersionFiles) -> None:
        incoming = self._incoming()
        try:
            incoming.mkdir()
            files.write(incoming)
            place.parent.mkdir(exist_ok=True)
            incoming.rename(place)
        except OSError:
            shutil.rmtree(incoming, ignore_errors=True)
            with suppress(OSError):
                place.parent.rmdir()
            raise
        sync_folder(place.parent)
        sync_folder(self.folder)

    def _complete(self, place: Path, files: VersionFiles) -> None:
        refuse_other(files, _read(place / MANIFEST), str(self.folder))
        for name, data in files.data.items():
            found = _read(place / name)
            if found == data:
                continue
            if name == SIGNATURE and found is not None:
                refuse_signature(files, found)
            self._replace(place / name, data)

    def _replace(self, path: Path, data: bytes) -> None:
        incoming = self._incoming()
        try:
            path.parent.mkdir(exist_ok=True)
            write_synced(incoming, data)
            incoming.replace(path)
        except OSError:
            incoming.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)

    def _incoming(self) -> Path:
        return self.folder / f"{_INCOMING}{uuid.uuid4().hex}"

    @contextmanager
    def _working(self) -> Iterator[None]:
        """Be the only one that writes; what a killed process left is cleaned up first."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with locked(self.folder / _LOCK, 0o664):
                for left in self.folder.glob(f"{_INCOMING}*"):
                    if left.is_dir():
                        shutil.rmtree(left)
                    else:
                        left.unlink()
                yield
        except OSError as error:
            reason = error.strerror or str(error)
            if error.errno in NO_MORE:
                reason = f"no space is left ({reason}); free some and try again"
            elif error.errno in {errno.ENOTEMPTY, errno.EEXIST}:
                reason = f"{error.filename2 or error.filename} is in the way; see what it is"
            raise ContentError(f"{self.folder} cannot be written: {reason}") from error


def refuse_other(files: VersionFiles, manifest: bytes | None, place: str) -> None:
    """Refuse a version whose name and version `place` has with another manifest.

    Raises
    ------
    VersionTakenError
        If it has.
    """
    if manifest is not None and manifest != files.data[MANIFEST]:
        raise VersionTakenError(
            f"{files.ref} is in {place} with other bytes: a version never changes; release this "
            "one under a new number"
        )


def refuse_removed(files: VersionFiles, note: bytes | None) -> None:
    """Refuse a version whose name and version were those of another one that was removed.

    Raises
    ------
    VersionTakenError
        If the note of its removal has the sha256 of another manifest.
    """
    manifest = hashlib.sha256(files.data[MANIFEST]).hexdigest()
    if note is not None and note.decode("ascii", "replace").strip() != manifest:
        raise VersionTakenError(
            f"{files.ref} was another version, which was removed: a name and version are never "
            "used again; release this one under a new number"
        )


def refuse_signature(files: VersionFiles, found: bytes) -> None:
    """Refuse to put another signature in place of `found`, unless that is damaged.

    Raises
    ------
    VersionTakenError
        If it is not.
    """
    with suppress(SignatureError):
        signature = Signature.decode(found, SIGNATURE)
        raise VersionTakenError(
            f"{files.ref} is there, signed by key {signature.key}, and its signature is not "
            "replaced; if it must be by another key, sign the version where it is"
        )


def entry_name(names: list[str]) -> str:
    """Name of the next entry of a history that has entries of these names."""
    taken = [int(found[1]) for name in names if (found := _ENTRY.fullmatch(name))]
    return f"{max(taken, default=0) + 1:06d}-{uuid.uuid4().hex[:8]}.json"


def encode_entry(entry: dict[str, Any]) -> bytes:
    """The bytes of an entry of the history."""
    return (json.dumps(entry, ensure_ascii=False, sort_keys=True) + "\n").encode()


def decode_entry(data: bytes, name: str) -> dict[str, Any]:
    """Read an entry of the history.

    Raises
    ------
    ContentError
        If it is not one.
    """
    try:
        entry = json.loads(data)
    except ValueError as error:
        raise ContentError(f"entry {name} of the history is damaged: {error}") from error
    if not isinstance(entry, dict):
        raise ContentError(f"entry {name} of the history is damaged: it is not an object")
    return entry


def _note(place: Path) -> Path:
    return place.with_name(place.name + REMOVED)


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None

"""Model versions in an object store or on a share, through fsspec.

The layout is that of `model_store.folder_content`. There is no lock and no rename of folders: the
manifest is written last, and whoever reads checks every byte, so a version that is half there, or
mixed by two writers, is never taken.
"""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from model_store.errors import (
    ContentError,
    ManifestError,
    ModelIntegrityError,
    ModelStoreError,
    SignatureError,
    UnknownModelError,
)
from model_store.file_names import MANIFEST
from model_store.folder_content import (
    HISTORY,
    REMOVED,
    decode_entry,
    encode_entry,
    entry_name,
    refuse_other,
    refuse_removed,
    refuse_signature,
)
from model_store.ref import ModelName
from model_store.trust.signature import SIGNATURE
from model_store.version_files import LARGEST, VersionFiles, manifest_of

_PART: Final = ".part"
_DEPTH: Final = 3


class RemoteContent:
    """Model versions below one URL.

    Parameters
    ----------
    url : str
        What fsspec reads; credentials in it are not shown in messages.

    Raises
    ------
    ContentError
        If fsspec is not installed.
    """

    def __init__(self, url: str) -> None:
        try:
            self._fsspec: Any = importlib.import_module("fsspec")
        except ImportError as error:
            raise ContentError(
                "models at a URL need fsspec: pip install 'dicom-node[remote]'"
            ) from error
        self._url = url
        parts = urlsplit(url)
        who, at, host = parts.netloc.rpartition("@")
        self._secret = who + at
        self._shown = f"{parts.scheme}://{host}{parts.path}"

    def put(self, files: VersionFiles) -> None:
        """Add a version, or complete the one that is there with the same manifest.

        Raises
        ------
        VersionTakenError
            If the version is there with another manifest or signature, or was, and was removed.
        ContentError
            If it cannot be written.
        """
        name = ModelName(files.ref.name, files.ref.version)
        refuse_removed(files, self._read(self._note(name)))
        found = self._read(self._path(name, MANIFEST))
        with suppress(ManifestError):
            manifest_of(found, self._shown)
            refuse_other(files, found, self._shown)
        signature = self._read(self._path(name, SIGNATURE)) if found is not None else None
        if SIGNATURE in files.data and signature not in (None, files.data[SIGNATURE]):
            refuse_signature(files, signature or b"")
        for file in sorted(files.data, key=lambda file: file == MANIFEST):
            path = self._path(name, file)
            if found is None or self._read(path) != files.data[file]:
                self._write(path, files.data[file])
        for path in self._inside(name):
            if path.rpartition("/")[2] not in {*files.data, SIGNATURE}:
                self._delete(path)

    def remove(self, name: ModelName) -> None:
        """Delete the files of a version. Its name and version stay taken, unless it was damaged.

        Raises
        ------
        UnknownModelError
            If it is not there.
        ContentError
            If it cannot be removed.
        """
        manifest = self._read(self._path(name, MANIFEST))
        if manifest is None:
            raise UnknownModelError(f"no model {name} in {self._shown}")
        with suppress(ManifestError, ModelIntegrityError, SignatureError):
            self.fetch(name)
            self._write(self._note(name), hashlib.sha256(manifest).hexdigest().encode())
        self._delete(self._path(name, MANIFEST))
        for path in self._inside(name):
            self._delete(path)

    def names(self) -> list[ModelName]:
        """The versions whose manifest is there.

        Raises
        ------
        ContentError
            If the store cannot be listed.
        """
        names = []
        for path in self._under(self._root):
            parts = path.removeprefix(self._root).strip("/").split("/")
            if len(parts) == _DEPTH and parts[-1] == MANIFEST:
                with suppress(ValueError):
                    parsed = ModelName.parse(f"{parts[0]}@{parts[1]}")
                    names.extend([parsed] if parsed.is_version else [])
        return names

    def fetch(self, name: ModelName, known: Path | None = None) -> VersionFiles | None:
        """Read a version and check every byte of it.

        Parameters
        ----------
        name : ModelName
            Which version.
        known : Path, optional
            Folder that has it.

        Returns
        -------
        VersionFiles or None
            None if `known` has nothing less.

        Raises
        ------
        VersionTakenError
            If `known` has it with another manifest.
        ManifestError, ModelIntegrityError, SignatureError
            If it is not a whole version.
        ContentError
            If it cannot be read, or is too large.
        """
        head = {MANIFEST: self._read(self._path(name, MANIFEST)),
                SIGNATURE: self._read(self._path(name, SIGNATURE))}  # fmt: skip
        data = {file: held for file, held in head.items() if held is not None}
        if known is not None and all(_has(known, file, held) for file, held in data.items()):
            return None
        manifest = manifest_of(data.get(MANIFEST), self._shown)
        if str(manifest.ref) != str(name):
            raise ManifestError(f"{self._shown} has {manifest.ref} in the place of {name}")
        for file in manifest.files:
            held = self._read(self._path(name, file), LARGEST - sum(map(len, data.values())))
            data |= {file: held} if held is not None else {}
        return VersionFiles.of(data, self._shown)

    def append_history(self, entry: dict[str, Any]) -> None:
        """Keep an entry of the history; entries are never changed.

        Raises
        ------
        ContentError
            If it cannot be written.
        """
        name = entry_name([path.rpartition("/")[2] for path in self._entries()])
        self._write(f"{self._root}/{HISTORY}/{name}", encode_entry(entry))

    def history(self) -> list[dict[str, Any]]:
        """The entries of the history, the oldest first.

        Raises
        ------
        ContentError
            If one cannot be read.
        """
        return [decode_entry(self._read(path) or b"", path) for path in self._entries()]

    @property
    def _files(self) -> Any:
        return self._opened()[0]

    @property
    def _root(self) -> str:
        return str(self._opened()[1]).rstrip("/")

    def _opened(self) -> Any:
        """The driver and its root; fsspec keeps one driver for each process and thread."""
        with self._spoken():
            return self._fsspec.core.url_to_fs(self._url)

    def _path(self, name: ModelName, file: str) -> str:
        return f"{self._root}/{name.name}/{name.tag}/{file}"

    def _note(self, name: ModelName) -> str:
        return f"{self._root}/{name.name}/{name.tag}{REMOVED}"

    def _entries(self) -> list[str]:
        inside = self._under(f"{self._root}/{HISTORY}")
        return [path for path in inside if not path.endswith(_PART)]

    def _inside(self, name: ModelName) -> list[str]:
        return self._under(self._path(name, "").rstrip("/"))

    def _under(self, folder: str) -> list[str]:
        """Every file below a folder; none if it is not there."""
        with self._spoken(), suppress(FileNotFoundError):
            self._files.invalidate_cache()
            return sorted(self._files.find(folder))
        return []

    def _read(self, path: str, most: int = LARGEST) -> bytes | None:
        with self._spoken(), suppress(FileNotFoundError):
            size = self._files.size(path)
            if size is not None and size > most:
                raise ContentError(f"{self._shown}: {path} has {size} bytes, too many")
            return bytes(self._files.cat_file(path))
        return None

    def _write(self, path: str, data: bytes) -> None:
        """Write a file that nobody sees before it is whole, where the store can rename."""
        with self._spoken():
            self._files.makedirs(path.rpartition("/")[0], exist_ok=True)
            self._files.pipe_file(path + _PART, data)
            self._files.mv(path + _PART, path)

    def _delete(self, path: str) -> None:
        with self._spoken(), suppress(FileNotFoundError):
            self._files.rm_file(path)

    @contextmanager
    def _spoken(self) -> Iterator[None]:
        try:
            yield
        except ModelStoreError:
            raise
        except Exception as error:  # every driver has errors of its own
            said = str(error).replace(self._url, self._shown) or type(error).__name__
            if self._secret:
                said = said.replace(self._secret, "")
            raise ContentError(f"{self._shown}: {said}") from error


def _has(folder: Path, file: str, data: bytes) -> bool:
    try:
        return (folder / file).read_bytes() == data
    except OSError:
        return False

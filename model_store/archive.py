"""One model version as one file: a zip that has the same bytes wherever it is made.

Its entries are the version's files, the manifest first, without times or owners. They are not
compressed: weights hardly are, and so an archive never unpacks to more than it has bytes.
"""

from __future__ import annotations

import io
import os
import shutil
import stat
import zipfile
from pathlib import Path
from typing import Final

from model_store.errors import ContentError, ModelIntegrityError
from model_store.file_names import MANIFEST
from model_store.store import ModelVersion
from model_store.version_files import LARGEST, MOST_FILES, VersionFiles, write_synced

_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
_UNIX: Final = 3
_ENCRYPTED: Final = 1
_MODE: Final = (stat.S_IFREG | 0o644) << 16
_HEADERS: Final = MOST_FILES * 1024
"""Bytes that the archive may have beside the files."""


def pack(version: ModelVersion, target: Path) -> Path:
    """Write a version, signature included, as one archive.

    Parameters
    ----------
    version : ModelVersion
        Every byte of it is checked.
    target : Path
        File to write; in a folder that exists it is called ``NAME-VERSION.zip``.

    Returns
    -------
    Path
        The archive.

    Raises
    ------
    ManifestError, ModelIntegrityError, SignatureError
        If the version is not whole, or has files that its manifest does not name.
    ContentError
        If `target` exists with other bytes, or cannot be written.
    """
    files = VersionFiles.read(version.folder)
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_STORED) as zipped:
        for name in sorted(files.data, key=lambda name: (name != MANIFEST, name)):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.create_system = _UNIX
            entry.external_attr = _MODE
            zipped.writestr(entry, files.data[name])
    path = target / f"{version.ref.name}-{version.ref.version}.zip" if target.is_dir() else target
    part = path.with_name(f".{path.name}.part")
    try:
        if path.exists():
            if path.read_bytes() == made.getvalue():
                return path
            raise ContentError(f"{path} exists with other bytes; move it away or take another name")
        part.unlink(missing_ok=True)
        try:
            write_synced(part, made.getvalue())
            part.replace(path)
        except OSError:
            part.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise ContentError(f"{path} cannot be written: {error.strerror or error}") from error
    return path


def unpack(archive: Path, folder: Path) -> ModelVersion:
    """Write the version in an archive into a folder, after every byte of it was checked.

    Nothing is written of an archive that is refused.

    Parameters
    ----------
    archive : Path
        What `pack` made.
    folder : Path
        Empty, or not there yet.

    Raises
    ------
    ModelIntegrityError
        If the archive is damaged or cut off, or has an entry that `pack` would not make: one that
        the manifest does not name, twice the same, a link, compressed, encrypted.
    ManifestError, SignatureError
        If what it holds is not a whole version.
    ContentError
        If it is no plain file, cannot be read, is too large, or `folder` has something in it or
        cannot be written.
    """
    files = VersionFiles.of(_entries(archive), str(archive))
    new = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise ContentError(f"{folder} is not empty; {archive} is unpacked into an empty folder")
        try:
            files.write(folder)
        except OSError:
            for name in files.data:
                (folder / name).unlink(missing_ok=True)
            if new:
                shutil.rmtree(folder, ignore_errors=True)
            raise
    except OSError as error:
        raise ContentError(f"{folder} cannot be written: {error.strerror or error}") from error
    return ModelVersion.open(folder)


def _entries(archive: Path) -> dict[str, bytes]:
    try:
        if not stat.S_ISREG(archive.stat().st_mode):
            raise ContentError(f"{archive} is no plain file")
        with archive.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            if size > LARGEST + _HEADERS:
                raise ContentError(f"{archive} has {size >> 20} MiB, {LARGEST >> 20} at most")
            with zipfile.ZipFile(stream) as zipped:
                entries = zipped.infolist()
                _check(entries, size, archive)
                return {entry.filename: zipped.read(entry) for entry in entries}
    except OSError as error:
        raise ContentError(f"{archive} cannot be read: {error.strerror or error}") from error
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise ModelIntegrityError(
            f"{archive} is damaged or no archive of a model version ({error}); get it again"
        ) from error


def _check(entries: list[zipfile.ZipInfo], size: int, archive: Path) -> None:
    """Refuse what `pack` does not make; that the names are the manifest's is checked later."""
    names = {entry.filename for entry in entries}
    if len(names) != len(entries):
        raise ModelIntegrityError(f"{archive} names a file twice")
    if len(entries) > MOST_FILES:
        raise ModelIntegrityError(f"{archive} has {len(entries)} files, {MOST_FILES} at most")
    for entry in entries:
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if entry.filename.endswith("/") or kind not in {0, stat.S_IFREG}:
            raise ModelIntegrityError(f"{archive}: {entry.filename!r} is no plain file")
        stored = entry.compress_type == zipfile.ZIP_STORED and (
            entry.compress_size == entry.file_size
        )
        if not stored or entry.flag_bits & _ENCRYPTED or entry.orig_filename != entry.filename:
            raise ModelIntegrityError(
                f"{archive}: {entry.filename!r} is compressed, encrypted or has an odd name; "
                "unpack it yourself and add the folder if you trust it"
            )
    if sum(entry.file_size for entry in entries) > size:
        raise ModelIntegrityError(f"{archive} claims to hold more bytes than it has")

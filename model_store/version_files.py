"""The files of one model version in memory: all that its manifest names, checked, and no others."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from model_store.disk import sync_folder
from model_store.errors import ContentError, ManifestError, ModelIntegrityError, SignatureError
from model_store.file_names import MANIFEST
from model_store.manifest import Manifest
from model_store.ref import ModelRef
from model_store.store import ModelVersion
from model_store.trust.signature import SIGNATURE, Signature

MOST_FILES = 64
LARGEST = 1 << 30
"""Bytes of all files together."""


@dataclass(frozen=True, slots=True)
class VersionFiles:
    """A complete model version, as it is added, sent or packed.

    Make it with `of` or `read`, which check.

    Parameters
    ----------
    manifest : Manifest
        What `data` was checked against.
    data : mapping of str to bytes
        The manifest, every file that it names, and the signature if there is one.
    """

    manifest: Manifest
    data: Mapping[str, bytes]

    @classmethod
    def of(cls, data: Mapping[str, bytes], place: str) -> VersionFiles:
        """Check the files of a version, which came from `place`.

        Raises
        ------
        ManifestError
            If the manifest is missing or malformed.
        ModelIntegrityError
            If a file is missing, too many, changed, unsafe by its name, or of a kind that is read
            by unpickling.
        SignatureError
            If there is a signature and it is damaged, or of another manifest.
        """
        manifest = manifest_of(data.get(MANIFEST), place)
        ref = manifest.ref
        missing = sorted(set(manifest.files) - set(data))
        if missing:
            raise ModelIntegrityError(f"{ref}: {place} lacks {', '.join(missing)}")
        extra = sorted(set(data) - set(manifest.files) - {MANIFEST, SIGNATURE})
        if extra:
            raise ModelIntegrityError(
                f"{ref}: {place} has files that the manifest does not name: "
                f"{', '.join(map(repr, extra[:8]))}; take them out"
            )
        for name, expected in manifest.files.items():
            found = hashlib.sha256(data[name]).hexdigest()
            if found != expected.lower():
                raise ModelIntegrityError(
                    f"{ref}: {name} in {place} has sha256 {found[:12]}..., not "
                    f"{expected[:12]}... as released; get the version again from its releaser"
                )
        if SIGNATURE in data:
            signature = Signature.decode(data[SIGNATURE], f"{SIGNATURE} in {place}")
            if signature.manifest != hashlib.sha256(data[MANIFEST]).hexdigest():
                raise SignatureError(f"{ref}: {SIGNATURE} in {place} is of another manifest")
        return cls(manifest, dict(data))

    @classmethod
    def read(cls, folder: Path) -> VersionFiles:
        """Read and check the version that `folder` holds.

        Raises
        ------
        ContentError
            If the folder or a file in it cannot be read, or it is too large.
        ManifestError, ModelIntegrityError, SignatureError
            As `of`; also for a link, a folder, or anything else that is no plain file.
        """
        try:
            names = sorted(path.name for path in folder.iterdir())
            if len(names) > MOST_FILES:
                raise ModelIntegrityError(f"{folder} has {len(names)} files, {MOST_FILES} at most")
            for name in names:
                path = folder / name
                if path.is_symlink() or not path.is_file():
                    raise ModelIntegrityError(
                        f"{path} is no plain file; a model version has no links and no folders"
                    )
            if MANIFEST not in names:
                raise ManifestError(f"{folder} holds no model version: it has no {MANIFEST}")
            size = sum((folder / name).stat().st_size for name in names)
            if size > LARGEST:
                raise ContentError(f"{folder} has {size >> 20} MiB, {LARGEST >> 20} at most")
            data = {name: _bytes(folder / name) for name in names}
        except OSError as error:
            raise ContentError(f"{folder} cannot be read: {error.strerror or error}") from error
        return cls.of(data, str(folder))

    @property
    def ref(self) -> ModelRef:
        """The immutable name of the version."""
        return self.manifest.ref

    def write(self, folder: Path) -> None:
        """Write every file into an empty folder, safe against a power cut.

        Raises
        ------
        OSError
            If that fails; what was written stays.
        """
        for name, data in self.data.items():
            write_synced(folder / name, data)
        sync_folder(folder)


def manifest_of(data: bytes | None, place: str) -> Manifest:
    """Read the manifest of a version that came from `place`.

    Raises
    ------
    ManifestError
        If it is missing or malformed, or names itself or its signature as a file.
    ModelIntegrityError
        If it names a file that is unsafe.
    """
    if data is None:
        raise ManifestError(f"{place} holds no model version: it has no {MANIFEST}")
    manifest = Manifest.parse(data, f"{MANIFEST} in {place}")
    ModelVersion(manifest.ref, manifest, Path(place))
    if {MANIFEST, SIGNATURE} & set(manifest.files):
        raise ManifestError(f"{MANIFEST} in {place} names itself or its signature as a file")
    return manifest


def write_synced(path: Path, data: bytes) -> None:
    """Write a new file and wait until the disk has it.

    Raises
    ------
    OSError
        If it exists, or cannot be written.
    """
    with path.open("xb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


def _bytes(path: Path) -> bytes:
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    with open(handle, "rb") as stream:  # noqa: PTH123 -- a descriptor, not a path
        return stream.read()

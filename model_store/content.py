"""Where a node keeps the model versions that were added to it: a folder, or an fsspec URL."""

from __future__ import annotations

from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from model_store.errors import ModelStoreError, UnknownModelError
from model_store.file_names import MANIFEST
from model_store.folder_content import FolderContent, refuse_other
from model_store.ref import ModelName
from model_store.remote_content import RemoteContent
from model_store.store import ModelVersion, packaged_zoo
from model_store.version_files import VersionFiles


@dataclass(frozen=True, slots=True)
class Refresh:
    """What looking into a remote store brought.

    Parameters
    ----------
    new : tuple of ModelVersion
        Versions that are here now and were not before.
    refused : dict of ModelName to ModelStoreError
        Versions that stayed away, and why.
    """

    new: tuple[ModelVersion, ...] = ()
    refused: dict[ModelName, ModelStoreError] = field(default_factory=dict)


class ContentStore:
    """The model versions that were added to a node, and the history of its aliases beside them.

    Nothing here says whether a version may be used: signatures, graph and gates are judged by
    whoever opens it from `folder`.

    Parameters
    ----------
    location : str or Path
        A folder; or, with ``://`` in it, a URL that fsspec reads, such as ``s3://bucket/models``.
    cache : Path
        For a URL, the folder of this machine that its versions are copied into.

    Raises
    ------
    ContentError
        If `location` is a URL and fsspec, or its driver, is not installed.
    """

    def __init__(self, location: str | Path, cache: Path) -> None:
        remote = "://" in str(location)
        self._remote = RemoteContent(str(location)) if remote else None
        self._local = FolderContent(cache if remote else Path(location))

    @property
    def folder(self) -> Path:
        """The folder of this machine that has the versions; `add` or `refresh` makes it."""
        return self._local.folder

    def holds(self, name: ModelName) -> bool:
        """Whether a version is in `folder`."""
        return (self._local.place(name) / MANIFEST).is_file()

    def add(self, source: Path) -> ModelVersion:
        """Add the version in a folder, after every byte of it was checked.

        The version is there whole or not at all, whatever happens meanwhile. One that is there with
        the same bytes stays as it is: ask `holds` before to tell. Of such a one, files that were
        damaged are put back, and a signature that it lacked is put beside it.

        Parameters
        ----------
        source : Path
            Folder with ``manifest.json``, the files that it names, ``manifest.sig`` if there is
            one, and nothing else.

        Returns
        -------
        ModelVersion
            As it is in `folder` now.

        Raises
        ------
        ManifestError, ModelIntegrityError, SignatureError
            If `source` is not a whole version.
        VersionTakenError
            If its name and version are there with other bytes, come so with the package, or were
            those of a version that was removed.
        ContentError
            If something cannot be read or written, for example because the disk is full.
        """
        files = VersionFiles.read(source)
        packaged = packaged_zoo() / files.ref.name / files.ref.version / MANIFEST
        if packaged.is_file():
            refuse_other(files, packaged.read_bytes(), "the package")
        if self._remote is not None:
            self._remote.put(files)
        return self._local.put(files)

    def remove(self, name: str, version: str) -> None:
        """Delete the files of a version for good. Its name and version stay taken.

        Raises
        ------
        UnknownModelError
            If it is not there.
        ContentError
            If it cannot be removed.
        """
        try:
            wanted = ModelName.parse(f"{name}@{version}")
        except ValueError as error:
            raise UnknownModelError(str(error)) from error
        if not wanted.is_version:
            raise UnknownModelError(f"{wanted} is an alias, and aliases have no files")
        known = self.holds(wanted)
        if self._remote is not None:
            with suppress(UnknownModelError) if known else nullcontext():
                self._remote.remove(wanted)
        if self._remote is None or known:
            self._local.remove(wanted)

    def refresh(self) -> Refresh:
        """Copy what a remote store has and `folder` lacks; for a folder there is nothing to do.

        A version shows in `folder` once every byte of it was checked. One that was removed from the
        remote store stays here, and one that was changed there is refused.

        Raises
        ------
        ContentError
            If the remote store cannot be listed; `folder` is as it was then.
        """
        if self._remote is None:
            return Refresh()
        new: list[ModelVersion] = []
        refused: dict[ModelName, ModelStoreError] = {}
        for name in self._remote.names():
            try:
                known = self.holds(name)
                files = self._remote.fetch(name, self._local.place(name) if known else None)
                if files is not None:
                    version = self._local.put(files)
                    new.extend([] if known else [version])
            except ModelStoreError as error:
                refused[name] = error
        return Refresh(tuple(new), refused)

    def append_history(self, entry: dict[str, Any]) -> None:
        """Keep an entry, such as the move of an alias, beside the versions; for a lost database.

        Parameters
        ----------
        entry : dict
            What JSON can hold.

        Raises
        ------
        ContentError
            If it cannot be written.
        """
        (self._remote or self._local).append_history(entry)

    def history(self) -> list[dict[str, Any]]:
        """Every entry that was kept, the oldest first.

        Raises
        ------
        ContentError
            If one cannot be read.
        """
        return (self._remote or self._local).history()

"""Files that are denoised one after the other, each to a place of its own."""

from __future__ import annotations

import filecmp
import os
import secrets
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final

from dicom_node import full_disk
from dicom_node.errors import ConfigError, Next, NoImage, NotDenoised, NotWritten, WrongUse
from workers.direct.denoised_file import DenoisedFile, Kind, Provenance
from workers.direct.objects import uid_in
from workers.direct.picture import picture_of
from workers.direct.request import Request
from workers.direct.service import HEAD, Service, kind_of

_PART: Final = ".dicom-node-"
"""How the name of a file begins that is being written."""

_SUFFIXES: Final[dict[str, Kind]] = {
    ".dcm": "DICOM", ".ima": "DICOM", ".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG",
    ".tif": "TIFF", ".tiff": "TIFF",
}  # fmt: skip


class FileState(StrEnum):
    """What became of one file."""

    DENOISED = "denoised"
    PASSED = "not denoised"
    """It must not be, or its result is there already; the reason says which."""
    FAILED = "failed"
    """It cannot be read or denoised."""
    OTHER = "no image"
    """It is passed over."""


@dataclass(frozen=True, slots=True)
class FilePlace:
    """A file, and where its result goes, and a picture of before and after if one is wanted."""

    source: Path
    target: Path
    picture: Path | None = None


@dataclass(frozen=True, slots=True, eq=False)
class FileOutcome:
    """What became of one file.

    Parameters
    ----------
    source, target : Path
    state : FileState
    why : str
        The reason, where it was not denoised.
    how : Provenance, optional
        How what was written was made.
    kind : str
        ``DICOM``, ``PNG``, ``JPEG`` or ``TIFF``, where it was denoised.
    source_uid, series_uid : str
        Of a DICOM object: its own SOP Instance UID, and its result's Series Instance UID.
    """

    source: Path
    target: Path
    state: FileState
    why: str = ""
    how: Provenance | None = None
    kind: str = ""
    source_uid: str = ""
    series_uid: str = ""


@dataclass
class FoundFiles:
    """The files that were named, in the order of their names.

    Parameters
    ----------
    places : list of FilePlace
    unreadable : list of FileOutcome
        Folders that cannot be listed, and files that are no files.
    """

    places: list[FilePlace] = field(default_factory=list)
    unreadable: list[FileOutcome] = field(default_factory=list)

    @property
    def count(self) -> int:
        """Everything that is said something of."""
        return len(self.places) + len(self.unreadable)


def find(source: Path, out: str, picture: str | None = None) -> FoundFiles:
    """Find what is to be denoised, before anything is written.

    Parameters
    ----------
    source : Path
        A file, or a folder: then every file in it and in the folders below, each folder once,
        whatever links lead to it.
    out : str
        For a file the name of its result, or a folder: one that is there, or ends in a slash. For a
        folder a folder, which is made where it is not; what lies in it is not looked at.
    picture : str, optional
        The same for pictures of before and after; in a folder their names end in ``.png``.

    Raises
    ------
    ConfigError
        `source` is not there.
    WrongUse
        `out` or `picture` is no place for results.
    """
    try:
        if stat.S_ISDIR(source.stat().st_mode):
            return _walked(source, *_folders(source, out, picture))
        target = _file(source.name, out)
        drawn = None if picture is None else _file(f"{source.name}.png", picture)
    except OSError as error:
        raise ConfigError(f"{error.filename}: {_said(error)}") from error
    if drawn is not None and drawn.suffix.lower() != ".png":
        raise WrongUse(f"{drawn}: pictures are PNG; give a name that ends in .png")
    if target == drawn:
        raise WrongUse(f"{out} is named for both the result and its picture")
    return _listed([FilePlace(source, target, drawn)])


def _file(name: str, place: str) -> Path:
    """Where a result goes: as it was named, or under `name` in a folder."""
    path = Path(place)
    return path / name if path.is_dir() or place.endswith(os.sep) else path


def _folders(source: Path, out: str, picture: str | None) -> tuple[Path, Path | None]:
    target, drawn = Path(out), None if picture is None else Path(picture)
    for path in filter(None, (target, drawn)):
        if path.exists() and not path.is_dir():
            raise WrongUse(f"{path} is a file; the results of a folder need a folder")
        if path.exists() and path.samefile(source):
            raise WrongUse(f"{path} is the folder of the originals, which are never changed")
    if drawn is not None and drawn.absolute() == target.absolute():
        raise WrongUse(f"{out} is named for both results and pictures; give them each their own")
    return target, drawn


def _walked(source: Path, out: Path, pictures: Path | None) -> FoundFiles:
    places: list[FilePlace] = []
    unreadable: list[FileOutcome] = []
    seen = {_identity(path) for path in (out, pictures) if path is not None}

    def not_listed(error: OSError) -> None:
        path = Path(str(error.filename))
        unreadable.append(
            FileOutcome(path, path, FileState.FAILED, f"cannot be listed: {_said(error)}")
        )

    for folder, below, names in os.walk(source, followlinks=True, onerror=not_listed):
        here = Path(folder)
        identity = _identity(here)
        if identity is None or identity in seen:
            below.clear()
            continue
        seen.add(identity)
        below.sort()
        within = here.relative_to(source)
        for name in names:
            if not name.startswith(_PART):
                drawn = None if pictures is None else pictures / within / f"{name}.png"
                places.append(FilePlace(here / name, out / within / name, drawn))
    found = _listed(sorted(places, key=lambda place: place.source))
    found.unreadable[:0] = unreadable
    return found


def _listed(places: Iterable[FilePlace]) -> FoundFiles:
    """Only what can be opened without waiting for somebody: no pipes, no devices."""
    found = FoundFiles()
    for place in places:
        try:
            regular = stat.S_ISREG(place.source.stat().st_mode)
        except OSError as error:
            done = FileOutcome(place.source, place.target, FileState.FAILED, _said(error))
            found.unreadable.append(done)
            continue
        if regular:
            found.places.append(place)
        else:
            done = FileOutcome(place.source, place.target, FileState.OTHER, "is no regular file")
            found.unreadable.append(done)
    return found


class FileRun:
    """Denoises what was found.

    A file that cannot be denoised harms only itself. A result is written whole or not at all.

    Parameters
    ----------
    service : Service
    asked : Request
    found : FoundFiles
    overwrite : bool
        Whether results that are there already are replaced. Originals never are.
    """

    def __init__(
        self, service: Service, asked: Request, found: FoundFiles, *, overwrite: bool = False
    ) -> None:
        self._service = service
        self._asked = asked
        self._found = found
        self._overwrite = overwrite
        self._originals = {_identity(place.source) for place in found.places} - {None}
        self._first: dict[str, Path] = {}

    def run(self) -> Iterator[FileOutcome]:
        """Denoise one file after the other.

        Raises
        ------
        NotWritten
            A result cannot be written: the disk is full, or the folder takes none. What was
            written before stays.
        ModelStoreError, ModelNotHere
            The model version cannot be had, or not be run here.
        """
        yield from self._found.unreadable
        for place in self._found.places:
            yield self._one(place)

    def _one(self, place: FilePlace) -> FileOutcome:
        try:
            made = self._made(place)
        except NoImage as error:
            return FileOutcome(place.source, place.target, FileState.OTHER, str(error))
        except NotDenoised as error:
            state = FileState.PASSED if error.next is Next.PASS else FileState.FAILED
            return FileOutcome(place.source, place.target, state, str(error))
        write(place.target, made.data)
        if place.picture is not None:
            write(place.picture, picture_of(made))
        return FileOutcome(
            place.source, place.target, FileState.DENOISED, how=made.how, kind=made.kind,
            source_uid=made.sop_instance_uid, series_uid=made.series_uid,
        )  # fmt: skip

    def _made(self, place: FilePlace) -> DenoisedFile:
        name = place.source.name
        try:
            with place.source.open("rb") as file:
                kind = kind_of(file.read(HEAD))
                if kind == "DICOM":
                    self._require_first(uid_in(file, name), place.source)
                if kind is not None:
                    _require_named(place, kind)
                    self._require_free(place.target)
                    if place.picture is not None:
                        self._require_free(place.picture)
                return self._service.denoise(file, self._asked, name=name)
        except OSError as error:
            raise NotDenoised(_said(error), Next.RETRY) from error

    def _require_free(self, target: Path) -> None:
        if not os.path.lexists(target):
            return
        if _identity(target) in self._originals:
            raise NotDenoised(f"its result would replace an original, {target}", Next.PASS)
        if target.is_dir():
            raise NotDenoised(f"{target} is a folder")
        if not self._overwrite:
            raise NotDenoised(f"{target} is there already", Next.PASS)

    def _require_first(self, uid: str, source: Path) -> None:
        """As a node does: the same object is kept once, another one under its UID is a conflict."""
        first = self._first.setdefault(uid, source)
        if not uid or first == source:
            return
        if filecmp.cmp(first, source, shallow=False):
            raise NotDenoised(f"is the same object as {first}", Next.PASS)
        raise NotDenoised(f"{first} has the same SOP Instance UID and other bytes")


def _require_named(place: FilePlace, kind: Kind) -> None:
    """A result is a file of its original's kind, and its name may not say that it is another."""
    suffix = place.target.suffix.lower()
    if suffix == place.source.suffix.lower():
        return
    if _SUFFIXES.get(suffix, kind) != kind:
        raise NotDenoised(f"a {kind} stays a {kind}: {place.target.name} is the name of another")


def write(target: Path, data: bytes) -> None:
    """Write a file: it is there whole, or as it was.

    Raises
    ------
    NotWritten
        It cannot be written.
    """
    part = target.parent / f"{_PART}{secrets.token_hex(8)}.part"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with part.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            part.replace(target)
        except BaseException:
            with suppress(OSError):
                part.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise NotWritten(f"{target} cannot be written: {full_disk.reason_of(error)}") from error


def _identity(path: Path) -> tuple[int, int] | None:
    """What tells a file or folder from all others, by whatever name; None if there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _said(error: OSError) -> str:
    return error.strerror or "cannot be read"

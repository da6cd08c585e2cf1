"""What kind of image a file is: told by its first bytes, whatever its name."""

from __future__ import annotations

import gzip
import zlib
from enum import StrEnum
from pathlib import Path

from model_store.errors import DataError

_HEAD = 352
_DICOM_AT = 128
_NIFTI = {344: b"n+1\0", 4: b"n+2\0"}
_NO_PREAMBLE = (b"\x02\0\0\0", b"\x08\0\0\0", b"\x08\0\x05\0", b"\x08\0\x08\0")

_NO_IMAGES = frozenset(
    {".csv", ".db", ".htm", ".html", ".ini", ".json", ".md", ".pdf", ".toml", ".txt", ".xml"}
)
_NO_IMAGE_NAMES = frozenset({"DICOMDIR", "LICENSE"})


class FileKind(StrEnum):
    """A kind of image file that can be read."""

    DICOM = "DICOM"
    PNG = "PNG"
    TIFF = "TIFF"
    JPEG = "JPEG"
    HDF5 = "HDF5"
    NIFTI = "NIfTI"


_STARTS = {
    b"\x89PNG\r\n\x1a\n": FileKind.PNG,
    b"II*\0": FileKind.TIFF,
    b"MM\0*": FileKind.TIFF,
    b"II+\0": FileKind.TIFF,
    b"MM\0+": FileKind.TIFF,
    b"\xff\xd8\xff": FileKind.JPEG,
    b"\x89HDF\r\n\x1a\n": FileKind.HDF5,
}


def kind_of(path: Path) -> FileKind:
    """Tell the kind of a file.

    Raises
    ------
    DataError
        If it cannot be read, is empty, or is of no kind known here.
    """
    try:
        head = _head(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    if not head:
        raise DataError(f"{path}: is empty; restore the file, or take it out")
    found = _kind(head)
    if found is None:
        raise DataError(
            f"{path}: not an image that can be read here (DICOM, PNG, TIFF, HDF5, NIfTI); take it "
            "out, or let a pattern leave it out"
        )
    return found


def is_dicom(path: Path) -> bool:
    """Whether a file is DICOM.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    return _kind(_head(path)) is FileKind.DICOM


def may_be_image(path: Path) -> bool:
    """Whether a file that lies among images could be one: no text, index or hidden file."""
    return not (
        path.name.startswith(".")
        or path.name in _NO_IMAGE_NAMES
        or path.suffix.lower() in _NO_IMAGES
    )


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if not head.startswith(b"\x1f\x8b"):
        return head
    try:
        with gzip.open(path, "rb") as file:
            return file.read(_HEAD)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path}: truncated or damaged gzip file: {error}; restore it") from error


def _kind(head: bytes) -> FileKind | None:
    if head[_DICOM_AT : _DICOM_AT + 4] == b"DICM" or head.startswith(_NO_PREAMBLE):
        return FileKind.DICOM
    for start, kind in _STARTS.items():
        if head.startswith(start):
            return kind
    return (
        FileKind.NIFTI if any(head[at : at + 4] == magic for at, magic in _NIFTI.items()) else None
    )

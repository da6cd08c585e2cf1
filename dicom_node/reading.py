"""Reading DICOM files so that malformed ones end in one error, and nothing leaks into the logs."""

from __future__ import annotations

import logging
import os
import struct
import warnings
import zlib
from contextlib import nullcontext
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Final

from pydicom import dcmread
from pydicom.datadict import keyword_for_tag
from pydicom.dataelem import RawDataElement
from pydicom.dataset import FileDataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filereader import _read_file_meta_info, read_dataset, read_preamble
from pydicom.tag import BaseTag
from pydicom.uid import DeflatedExplicitVRLittleEndian

from dicom_node.errors import FailItem, RetryLater, UnreadableObject

READ_ERRORS: tuple[type[Exception], ...] = (
    InvalidDicomError,
    BytesLengthException,
    ValueError,
    TypeError,
    LookupError,
    NotImplementedError,
    EOFError,
    AttributeError,
    ArithmeticError,
    RecursionError,
    AssertionError,
    struct.error,
    zlib.error,
)
"""What pydicom raises on reading a malformed object."""

VALUE_ERRORS: tuple[type[Exception], ...] = (*READ_ERRORS, OSError)
"""What pydicom raises on first access of a malformed value (OSError: a sequence ends early)."""

MOST_INFLATED: Final = 512 * 2**20
"""Most bytes that a deflated data set may have; a small file can inflate to a thousand times."""

MOST_INFLATED_HEADER: Final = 64 * 2**20
"""Most bytes before the pixel data of a deflated data set, where only the header is read."""

_DEFERRED: Final = 2**20
_HEAD: Final = 2048
_GROUP_LENGTH_END: Final = 144
_FIRST_PIXELS: Final = 0x7FE00008
_PIXELS: Final = frozenset({_FIRST_PIXELS, 0x7FE00009, 0x7FE00010})
_UNDEFINED: Final = 0xFFFFFFFF


def silence_pydicom() -> None:
    """Keep pydicom from warning and logging: its messages repeat values of attributes.

    Holds for the process from the first call on, so that it is safe in threads. The node's own
    errors say what is wrong with an object, by UID and keyword.
    """
    logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)
    warnings.filterwarnings("ignore", module=r"pydicom(\.|$)")


def read_object(
    file: Path | BinaryIO, *, header_only: bool = False, name: str | None = None
) -> FileDataset:
    """Read a DICOM Part 10 file.

    Parameters
    ----------
    file : Path or BinaryIO
        The file, or one that is open for reading and can be sought in.
    header_only : bool
        Whether to stop before the pixel data, and to leave values over 1 MB in the file until
        they are asked for.
    name : str, optional
        What messages call the object, such as its SOP Instance UID; absent: the file's name.

    Returns
    -------
    FileDataset
        The data set with its file meta information, which names a transfer syntax. Values are
        parsed on first access and may then still raise one of `VALUE_ERRORS`.

    Raises
    ------
    UnreadableObject
        If the bytes are not DICOM, end in the middle, need more memory than there is, or inflate
        to more than `MOST_INFLATED` (`MOST_INFLATED_HEADER`) bytes.
    FailItem
        If the file is not there.
    RetryLater
        If the file cannot be read.
    """
    name = name or (file.name if isinstance(file, Path) else "the object")
    silence_pydicom()
    try:
        with file.open("rb") if isinstance(file, Path) else nullcontext(file) as stream:
            end = stream.seek(0, os.SEEK_END)
            stream.seek(0)
            if DeflatedExplicitVRLittleEndian.encode("ascii") in stream.read(_HEAD):
                dataset, end, rest = _read_deflated(stream, end, name, header_only)
            else:
                stream.seek(0)
                dataset = dcmread(
                    stream,
                    stop_before_pixels=header_only,
                    defer_size=_DEFERRED if header_only else None,
                )
                rest = end - stream.tell()
        _check_end(dataset, end, rest, name)
        syntax = dataset.file_meta.get("TransferSyntaxUID")
    except MemoryError as error:
        raise UnreadableObject(f"{name}: reading it needs more memory than there is") from error
    except READ_ERRORS as error:
        raise UnreadableObject(
            f"{name}: the data set is damaged and cannot be read ({type(error).__name__})"
        ) from error
    except FileNotFoundError as error:
        raise FailItem(f"{name}: its file is no longer in the spool; send it again") from error
    except OSError as error:
        if error.errno is None:  # pydicom's own, for a sequence that ends too early
            raise UnreadableObject(
                f"{name}: truncated or damaged, a sequence has no end"
            ) from error
        raise RetryLater(f"{name}: {error.strerror or 'cannot be read'}") from error
    if not syntax:
        raise UnreadableObject(f"{name}: the file names no transfer syntax")
    if not header_only:
        dataset.buffer = None  # nothing is left to be read: the file need not stay in memory
    return dataset


def _read_deflated(
    file: BinaryIO, end: int, name: str, header_only: bool
) -> tuple[FileDataset, int, int]:
    """Read a file that may be deflated (PS3.5 A.5), within bounds; with its end and what is left.

    pydicom inflates without a bound.
    """
    file.seek(0)
    preamble = read_preamble(file, False)
    meta = _read_file_meta_info(file)
    if meta.TransferSyntaxUID != DeflatedExplicitVRLittleEndian:
        file.seek(0)
        dataset = dcmread(file, stop_before_pixels=header_only)
        return dataset, end, end - file.tell()
    file.seek(_GROUP_LENGTH_END + meta.FileMetaInformationGroupLength)
    limit = MOST_INFLATED_HEADER if header_only else MOST_INFLATED
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    data = inflater.decompress(file.read(), limit)
    whole = inflater.eof
    if not whole and len(data) < limit:
        raise UnreadableObject(f"{name}: truncated, the deflated data set has no end")
    inflated = BytesIO(data)
    read = read_dataset(inflated, False, True, stop_when=_at_pixels if header_only else None)
    rest = len(data) - inflated.tell()
    if not whole and rest <= 0:
        raise UnreadableObject(
            f"{name}: the deflated data set inflates to more than {limit // 2**20} MB"
        )
    dataset = FileDataset(file, read, preamble, meta, False, True)
    dataset.set_original_encoding(False, True, read._character_set)
    return dataset, len(data), rest


def _at_pixels(tag: BaseTag, _vr: str | None, _length: int) -> bool:
    return tag in _PIXELS


def _check_end(dataset: FileDataset, end: int, rest: int, name: str) -> None:
    """Refuse a data set that ends in the middle of an element; pydicom takes what there is.

    Parameters
    ----------
    dataset : FileDataset
    end, rest : int
        Bytes of the file, and how many of them were left unread.
    """
    tags = list(dataset.keys())
    if not tags:
        if rest == 0:
            raise UnreadableObject(f"{name}: the data set is empty")
        return
    tag = tags[-1]
    last = dataset.get_item(tag)
    if not isinstance(last, RawDataElement) or last.length == _UNDEFINED:
        return
    missing = last.value_tell + last.length - end
    if missing > 0:
        what = keyword_for_tag(tag) or str(tag)
        raise UnreadableObject(
            f"{name}: truncated or damaged, {what} has {last.length - missing} of "
            f"{last.length} bytes"
        )
    if rest == 0 and missing < 0 and tag < _FIRST_PIXELS:
        raise UnreadableObject(f"{name}: truncated or damaged, the data set ends within an element")

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
from typing import BinaryIO, Final, cast

from pydicom import dcmread
from pydicom.datadict import keyword_for_tag
from pydicom.dataelem import RawDataElement
from pydicom.dataset import FileDataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filereader import _read_file_meta_info, read_dataset, read_preamble
from pydicom.tag import BaseTag
from pydicom.uid import DeflatedExplicitVRLittleEndian

from dicom_node.dicom.bounded import BoundedReader
from dicom_node.dicom.values import UNDEFINED
from dicom_node.errors import FailItem, NodeError, RetryLater, UnreadableObject

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

MOST_HEADER: Final = 64 * 2**20
"""Most bytes that are read of a file of which only the header is wanted."""

MOST_READS: Final = 1_000_000
"""Most reads of one file: some 400,000 elements and items, a gigabyte once they are parsed."""

_UNBOUNDED: Final = 2**63
_SMALL: Final = 2**18
_DEFERRED: Final = 2**20
_HEAD: Final = 2048
_GROUP_LENGTH_END: Final = 144
_FIRST_PIXELS: Final = 0x7FE00008
_PIXELS: Final = frozenset({_FIRST_PIXELS, 0x7FE00009, 0x7FE00010})


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
        If the bytes are not DICOM, end in the middle, need more memory than there is, inflate to
        more than `MOST_INFLATED` (`MOST_INFLATED_HEADER`) bytes, have more elements than
        `MOST_READS` allows, or a header of more than `MOST_HEADER` bytes.
    FailItem
        If the file is not there.
    RetryLater
        If the file cannot be read.
    """
    name = name or (file.name if isinstance(file, Path) else "the object")
    silence_pydicom()
    bounded: BoundedReader | None = None
    try:
        with file.open("rb") if isinstance(file, Path) else nullcontext(file) as stream:
            end = stream.seek(0, os.SEEK_END)
            stream.seek(0)
            if DeflatedExplicitVRLittleEndian.encode("ascii") in stream.read(_HEAD):
                dataset, end, rest = _read_deflated(stream, end, name, header_only)
            else:
                stream.seek(0)
                if end > _SMALL:
                    most = MOST_HEADER if header_only else _UNBOUNDED
                    bounded = BoundedReader(stream, most, MOST_READS)
                dataset = dcmread(
                    stream if bounded is None else cast(BinaryIO, bounded),
                    stop_before_pixels=header_only,
                    defer_size=_DEFERRED if header_only else None,
                )
                rest = end - stream.tell()
        _check_end(dataset, end, rest, name)
        syntax = dataset.file_meta.get("TransferSyntaxUID")
    except MemoryError as error:
        raise UnreadableObject(f"{name}: reading it needs more memory than there is") from error
    except VALUE_ERRORS as error:
        raise _worded(error, name, bounded is not None and bounded.exceeded) from error
    if not syntax:
        raise UnreadableObject(f"{name}: the file names no transfer syntax")
    if not header_only:
        dataset.buffer = None  # nothing is left to be read: the file need not stay in memory
    elif bounded is not None and isinstance(file, Path):  # what was left is read from it again
        dataset.buffer, dataset.filename, dataset.fileobj_type = None, str(file), open
    return dataset


def _worded(error: Exception, name: str, exceeded: bool) -> NodeError:
    """What an error of pydicom or of the disk means for the object."""
    if exceeded:
        return UnreadableObject(
            f"{name}: the header is too large (more than {MOST_HEADER // 2**20} MB, or some "
            "400,000 elements); ask the sender what is in it"
        )
    if isinstance(error, FileNotFoundError):
        return FailItem(f"{name}: its file is no longer in the spool; send it again")
    if not isinstance(error, OSError):
        kind = type(error).__name__
        return UnreadableObject(f"{name}: the data set is damaged and cannot be read ({kind})")
    if error.errno is None:  # pydicom's own, for a sequence that ends too early
        return UnreadableObject(f"{name}: truncated or damaged, a sequence has no end")
    return RetryLater(f"{name}: {error.strerror or 'cannot be read'}")


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
    bounded = cast(BinaryIO, BoundedReader(inflated, _UNBOUNDED, MOST_READS))
    read = read_dataset(bounded, False, True, stop_when=_at_pixels if header_only else None)
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
    if not isinstance(last, RawDataElement) or last.length == UNDEFINED:
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

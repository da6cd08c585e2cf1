"""Encoded data sets that are ready to send, as stored or made for one destination."""

from __future__ import annotations

import io
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, Protocol

from dicom_node.errors import StorageError, UnreadableObject

_PREAMBLE_LENGTH: Final = 128
_LONG_LENGTH_VRS: Final = frozenset({b"OB", b"OW", b"UN", b"UT", b"SQ", b"OF", b"OD", b"UC"})
_META_GROUP: Final = 0x0002
_LONGEST_META: Final = 1 << 16


class DataSet(Protocol):
    """A data set in some transfer syntax, without file meta information."""

    @property
    def length(self) -> int:
        """Bytes; even and above zero."""

    def open(self) -> BinaryIO:
        """Return a stream at the first byte; the caller closes it."""


@dataclass(frozen=True, slots=True)
class EncodedDataSet:
    """A data set in memory."""

    content: bytes

    @property
    def length(self) -> int:
        """Bytes."""
        return len(self.content)

    def open(self) -> BinaryIO:
        """Return a stream at the first byte."""
        return io.BytesIO(self.content)


@dataclass(frozen=True, slots=True)
class StoredDataSet:
    """The data set of a DICOM file (PS3.10 7.1).

    Attributes
    ----------
    path
        The file.
    offset
        Where the data set begins.
    length
        Bytes from there to the end.
    sop_class_uid, sop_instance_uid, transfer_syntax_uid
        What the file meta information says.
    """

    path: Path
    offset: int
    length: int
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str

    @classmethod
    def at(cls, path: Path) -> StoredDataSet:
        """Read the file meta information of a file.

        Raises
        ------
        StorageError
            If the file cannot be opened or read.
        UnreadableObject
            If it is not a DICOM file with a data set.
        """
        try:
            with path.open("rb") as file:
                head = file.read(_PREAMBLE_LENGTH + 4 + _LONGEST_META)
                size = os.fstat(file.fileno()).st_size
        except OSError as error:
            raise StorageError(f"the stored file cannot be read: {error.strerror}") from error
        elements, offset = _file_meta(head)
        if size <= offset:
            raise UnreadableObject("the stored file has no data set")
        if (size - offset) % 2:
            raise UnreadableObject("the data set of the stored file has an odd length")
        return cls(
            path=path,
            offset=offset,
            length=size - offset,
            sop_class_uid=elements.get(0x0002, ""),
            sop_instance_uid=elements.get(0x0003, ""),
            transfer_syntax_uid=elements.get(0x0010, ""),
        )

    def open(self) -> BinaryIO:
        """Return a stream at the first byte of the data set.

        Raises
        ------
        StorageError
            If the file cannot be opened.
        """
        try:
            file = self.path.open("rb", buffering=0)
        except OSError as error:
            raise StorageError(f"the stored file cannot be read: {error.strerror}") from error
        file.seek(self.offset)
        return file


def _file_meta(head: bytes) -> tuple[dict[int, str], int]:
    """Return the text values of group 0002 by element, and where the data set begins.

    File meta information is Explicit VR Little Endian (PS3.10 7.1).
    """
    if head[_PREAMBLE_LENGTH : _PREAMBLE_LENGTH + 4] != b"DICM":
        raise UnreadableObject("the stored file is not a DICOM file")
    elements: dict[int, str] = {}
    at = _PREAMBLE_LENGTH + 4
    try:
        while True:
            if at + 2 > len(head):
                raise UnreadableObject("the stored file ends in its file meta information")
            group = int.from_bytes(head[at : at + 2], "little")
            if group != _META_GROUP:
                return elements, at
            _, element, vr, length = struct.unpack_from("<HH2sH", head, at)
            at += 8
            if vr in _LONG_LENGTH_VRS:
                (length,) = struct.unpack_from("<I", head, at)
                at += 4
            value = head[at : at + length]
            elements[element] = value.decode("ascii", "replace").strip("\0 ")
            at += length
    except struct.error as error:
        raise UnreadableObject("the stored file ends in its file meta information") from error

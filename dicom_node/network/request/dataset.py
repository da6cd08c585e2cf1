"""Encoded data sets that are ready to send, as stored or made for one destination."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Protocol, Self

from dicom_node.dicom.file_meta import LONGEST_META, FileMeta, FileMetaError
from dicom_node.errors import StorageError, UnreadableObject
from dicom_node.spool.stored import StoredObject, WrongBytes, compared


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
    content
        The whole file, if it is in memory.
    """

    path: Path
    offset: int
    length: int
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    content: bytes | None = field(default=None, repr=False)

    @classmethod
    def at(cls, path: Path, stored: StoredObject | None = None) -> Self:
        """Read the file meta information of a file, and compare the file with its row.

        Parameters
        ----------
        path : Path
            The file.
        stored : StoredObject, optional
            What the file must be; absent: whatever it is.

        Raises
        ------
        StorageError
            If the file cannot be opened or read.
        WrongBytes
            If it is not a DICOM file, or not the one that it must be.
        UnreadableObject
            If it has no data set, or one of an odd length.
        """
        with _opened(path) as file:
            content = None
            if stored is not None:
                read = compared(file, stored)
                content = read.getvalue() if isinstance(read, io.BytesIO) else None
                read.seek(0)
                head = read.read(LONGEST_META)
            else:
                head = file.read(LONGEST_META)
            size = os.fstat(file.fileno()).st_size
        try:
            meta = FileMeta.read(head)
        except FileMetaError as error:
            raise WrongBytes(str(error)) from error
        if (size - meta.end) % 2:
            raise UnreadableObject("the data set of the stored file has an odd length")
        return cls(
            path=path,
            offset=meta.end,
            length=size - meta.end,
            sop_class_uid=meta.sop_class_uid,
            sop_instance_uid=meta.sop_instance_uid,
            transfer_syntax_uid=meta.transfer_syntax_uid,
            content=content,
        )

    def file(self) -> BinaryIO:
        """Return a stream at the first byte of the file.

        Raises
        ------
        StorageError
            If the file cannot be opened.
        """
        return _opened(self.path) if self.content is None else io.BytesIO(self.content)

    def open(self) -> BinaryIO:
        """Return a stream at the first byte of the data set.

        Raises
        ------
        StorageError
            If the file cannot be opened.
        """
        file = self.file()
        file.seek(self.offset)
        return file


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise StorageError(f"the stored file cannot be read: {error.strerror}") from error

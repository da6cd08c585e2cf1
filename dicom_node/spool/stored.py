"""Stored objects: what the ledger says of a file in the spool, and its bytes where they agree.

Nothing is made of bytes of an instance or a result before they were compared with the hash that
its row has. A file that came wrong stays where it is, for a person.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import BinaryIO, Final, Protocol, Self

from dicom_node.dicom.file_meta import LONGEST_META, FileMeta, FileMetaError
from dicom_node.errors import FailItem, NodeError, SpoolAway, StorageError, UnreadableObject
from dicom_node.places import place_of
from dicom_node.spool.spool import Spool

MOST_IN_MEMORY: Final = 64 * 2**20
"""A larger file is read twice, to be compared and to be used; a smaller one once, into memory."""

_BLOCK: Final = 1 << 20


class WrongBytes(UnreadableObject):
    """A file does not hold what was received or made; it is kept, and nothing is made of it."""


class ObjectKind(StrEnum):
    """What a stored object is."""

    INSTANCE = "instance"
    RESULT = "result"


class _Row(Protocol):
    @property
    def sop_class_uid(self) -> str: ...
    @property
    def sop_instance_uid(self) -> str: ...
    @property
    def transfer_syntax_uid(self) -> str: ...
    @property
    def sha256(self) -> str: ...
    @property
    def path(self) -> str | None: ...


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An instance or a result as its row has it.

    Attributes
    ----------
    sha256
        Of an instance: of its transfer syntax UID in ASCII, a zero byte and the data set, without
        the File Meta Information that the node wrote (PS3.10 7.1); of a result: of the whole file.
    path
        Its name in the spool; None once its bytes are no longer kept.
    """

    kind: ObjectKind
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    sha256: str
    path: str | None

    @classmethod
    def of(cls, kind: ObjectKind, row: _Row) -> Self:
        """Take it from a row of the instances or the results."""
        return cls(
            kind,
            row.sop_class_uid,
            row.sop_instance_uid,
            row.transfer_syntax_uid,
            row.sha256,
            row.path,
        )


_REMEDY: Final = {
    ObjectKind.INSTANCE: "the file is kept for a person; let its sender send it again, then "
    "'dicom-node study retry'",
    ObjectKind.RESULT: "the file is kept for a person; 'dicom-node study retry' makes it again, "
    "byte for byte; where it cannot, put it back from a backup, then retry again",
}


@contextmanager
def opened(spool: Spool, stored: StoredObject) -> Iterator[BinaryIO]:
    """Open an object's file once it has been compared with its row.

    Yields
    ------
    BinaryIO
        The whole file, at its first byte: what was compared, in memory, unless it is larger than
        `MOST_IN_MEMORY`.

    Raises
    ------
    WrongBytes
        The file holds other bytes than recorded, or is another object's.
    FailItem
        The file is gone.
    StorageError
        It cannot be read.
    """
    if stored.path is None:
        raise FailItem(f"{stored.sop_instance_uid}: its bytes are no longer kept")
    with spool.open(stored.path, stored.sop_instance_uid) as file:
        yield compared(file, stored)


def compared(file: BinaryIO, stored: StoredObject) -> BinaryIO:
    """Read a file at its first byte; return it so again, in memory unless it is large.

    Raises
    ------
    WrongBytes
        The file holds other bytes than recorded, or is another object's.
    StorageError
        It cannot be read.
    """
    try:
        if os.fstat(file.fileno()).st_size <= MOST_IN_MEMORY:
            file = io.BytesIO(file.read())
        fault = _difference(file, stored)
    except OSError as error:
        raise StorageError(
            f"{stored.sop_instance_uid}: cannot be read from the spool: {error.strerror}"
        ) from error
    if fault:
        raise WrongBytes(f"{stored.sop_instance_uid}: {fault}; {_REMEDY[stored.kind]}")
    return file


def _difference(file: BinaryIO, stored: StoredObject) -> str:
    """What differs between a file and its row, or ""."""
    made = "received" if stored.kind is ObjectKind.INSTANCE else "made"
    wrong = f"the bytes in the spool are not those that were {made}"
    try:
        meta = meta_of(file)
        if sha256_of(file, stored.kind) != stored.sha256:
            return wrong
    except WrongBytes as error:
        return f"{wrong}: {error}"
    said = (stored.sop_class_uid, stored.sop_instance_uid, stored.transfer_syntax_uid)
    if (meta.sop_class_uid, meta.sop_instance_uid, meta.transfer_syntax_uid) != said:
        return f"{wrong}: its File Meta Information is another object's"
    return ""


def fault_of(spool: Spool, stored: StoredObject) -> str:
    """Return why an object's file cannot be used, or "".

    Raises
    ------
    SpoolAway
        Nothing is known of it now.
    """
    try:
        with opened(spool, stored):
            return ""
    except SpoolAway:
        raise
    except NodeError as error:
        return str(error)
    except Exception as error:  # noqa: BLE001 -- said of this one; whoever asks has others
        return f"it cannot be read: {place_of(error)}"


def sha256_of(file: BinaryIO, kind: ObjectKind) -> str:
    """Return the hash of a whole file as a row of this kind has it.

    Raises
    ------
    WrongBytes
        It is no DICOM file.
    """
    digest = hashlib.sha256()
    offset = 0
    if kind is ObjectKind.INSTANCE:
        meta = meta_of(file)
        offset = meta.end
        digest.update(meta.transfer_syntax_uid.encode("ascii", "replace") + b"\0")
    if isinstance(file, io.BytesIO):
        with file.getbuffer() as whole:
            digest.update(whole[offset:])
    else:
        file.seek(offset)
        while block := file.read(_BLOCK):
            digest.update(block)
    file.seek(0)
    return digest.hexdigest()


def meta_of(file: BinaryIO) -> FileMeta:
    """Read a file's File Meta Information at its first byte, and return there.

    Raises
    ------
    WrongBytes
        It is no DICOM file.
    """
    try:
        return FileMeta.read(file.read(LONGEST_META))
    except FileMetaError as error:
        raise WrongBytes(str(error)) from error
    finally:
        file.seek(0)

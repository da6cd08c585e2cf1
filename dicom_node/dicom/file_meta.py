"""What the node writes before the data set of an object, and reads there (PS3.10 Section 7.1)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from struct import pack
from typing import Final

from dicom_node.dicom.uids import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

_PREAMBLE: Final = bytes(128) + b"DICM"
_PREFIX_AT: Final = 128
_GROUP: Final = 0x0002
_VRS: Final = {
    0x0000: b"UL", 0x0001: b"OB", 0x0002: b"UI", 0x0003: b"UI", 0x0010: b"UI", 0x0012: b"UI",
    0x0013: b"SH", 0x0016: b"AE",
}  # fmt: skip
"""What the node writes of group 0002, in this order."""

LONGEST_META: Final = 1 << 16
"""Bytes of a file in which its File Meta Information lies."""


class FileMetaError(ValueError):
    """There is none that the node wrote."""


@dataclass(frozen=True, slots=True)
class FileMeta:
    """File Meta Information as it was read.

    Attributes
    ----------
    sop_class_uid, sop_instance_uid, transfer_syntax_uid : str
        "" where the element is not there.
    source_ae_title : str
        Source Application Entity Title: who sent it; "" where it is not there.
    end : int
        Where the data set begins.
    """

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    source_ae_title: str
    end: int

    @classmethod
    def read(cls, head: bytes) -> FileMeta:
        """Read it from the first bytes of a file.

        File Meta Information is Explicit VR Little Endian, and its first element says how long the
        others are (PS3.10 7.1). No element but those that the node writes is expected.

        Raises
        ------
        FileMetaError
            The file is no DICOM file, or not one that the node wrote.
        """
        at = len(_PREAMBLE)
        if head[_PREFIX_AT:at] != _PREAMBLE[_PREFIX_AT:]:
            raise FileMetaError("the file is not a DICOM file")
        elements: dict[int, str] = {}
        end, last = len(head), -1
        try:
            while at + 2 <= end and int.from_bytes(head[at : at + 2], "little") == _GROUP:
                _, element, vr, length = struct.unpack_from("<HH2sH", head, at)
                at += 8
                if element <= last or _VRS.get(element) != vr:
                    break
                last = element
                if vr == b"OB":
                    (length,) = struct.unpack_from("<I", head, at)
                    at += 4
                value = head[at : at + length]
                at += length
                if element == 0:
                    end = at + int.from_bytes(value, "little")
                elements[element] = value.decode("ascii", "replace").strip("\0 ")
        except struct.error as error:
            raise FileMetaError("the file ends in its File Meta Information") from error
        if at != end or at >= len(head):
            raise FileMetaError("its File Meta Information is damaged, or nothing follows it")
        sop_class, sop_instance, syntax, source = (
            elements.get(element, "") for element in (0x0002, 0x0003, 0x0010, 0x0016)
        )
        return cls(sop_class, sop_instance, syntax, source, end=at)


def file_header(
    *,
    sop_class_uid: str,
    sop_instance_uid: str,
    transfer_syntax_uid: str,
    source_ae_title: str = "",
) -> bytes:
    """Return the preamble, the prefix and the File Meta Information, in Explicit VR Little Endian.

    Parameters
    ----------
    sop_class_uid, sop_instance_uid
        Of the object; ASCII, at most 64 characters.
    transfer_syntax_uid
        In which its data set is written.
    source_ae_title
        The calling AE title of what was received; at most 16 characters.
    """
    elements = b"".join(
        (
            pack("<HH2sHI", 2, 1, b"OB", 0, 2) + b"\x00\x01",
            _short(0x0002, b"UI", sop_class_uid, b"\0"),
            _short(0x0003, b"UI", sop_instance_uid, b"\0"),
            _short(0x0010, b"UI", transfer_syntax_uid, b"\0"),
            _short(0x0012, b"UI", IMPLEMENTATION_CLASS_UID, b"\0"),
            _short(0x0013, b"SH", IMPLEMENTATION_VERSION_NAME, b" "),
            _short(0x0016, b"AE", source_ae_title, b" ") if source_ae_title else b"",
        )
    )
    return _PREAMBLE + pack("<HH2sHI", 2, 0, b"UL", 4, len(elements)) + elements


def _short(element: int, vr: bytes, text: str, pad: bytes) -> bytes:
    value = text.encode("ascii", "replace")
    value += pad * (len(value) % 2)
    return pack("<HH2sH", 2, element, vr, len(value)) + value

"""What the node writes before the data set of a received object (PS3.10 Section 7.1)."""

from __future__ import annotations

from struct import pack
from typing import Final

from dicom_node.dicom.uids import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

_PREAMBLE: Final = bytes(128) + b"DICM"


def file_header(
    *, sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str, source_ae_title: str
) -> bytes:
    """Return the preamble, the prefix and the File Meta Information, in Explicit VR Little Endian.

    Parameters
    ----------
    sop_class_uid, sop_instance_uid
        Of the C-STORE-RQ; ASCII, at most 64 characters.
    transfer_syntax_uid
        Of the presentation context.
    source_ae_title
        The calling AE title; at most 16 characters.
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

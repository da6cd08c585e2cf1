"""Which presentation contexts the node accepts, and in which transfer syntax."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pydicom._uid_dict import UID_dictionary

VERIFICATION: Final = "1.2.840.10008.1.1"
IMPLICIT_LITTLE_ENDIAN: Final = "1.2.840.10008.1.2"

_NOT_BY_C_STORE: Final = frozenset(
    {
        "1.2.840.10008.1.3.10",  # Media Storage Directory: files only
        "1.2.840.10008.1.20.1",  # Storage Commitment, push
        "1.2.840.10008.1.20.2",  # Storage Commitment, pull
    }
)

_LOSSLESS: Final = frozenset(
    {
        IMPLICIT_LITTLE_ENDIAN,
        "1.2.840.10008.1.2.1",  # Explicit VR Little Endian
        "1.2.840.10008.1.2.1.98",  # Encapsulated Uncompressed
        "1.2.840.10008.1.2.1.99",  # Deflated
        "1.2.840.10008.1.2.2",  # Explicit VR Big Endian
        "1.2.840.10008.1.2.4.57",  # JPEG Lossless, Process 14
        "1.2.840.10008.1.2.4.70",  # JPEG Lossless, Process 14, Selection Value 1
        "1.2.840.10008.1.2.4.80",  # JPEG-LS Lossless
        "1.2.840.10008.1.2.4.90",  # JPEG 2000 Lossless
        "1.2.840.10008.1.2.5",  # RLE Lossless
    }
)
_LOSSY: Final = frozenset(
    {
        "1.2.840.10008.1.2.4.50",  # JPEG Baseline, Process 1
        "1.2.840.10008.1.2.4.51",  # JPEG Extended, Process 2 and 4
        "1.2.840.10008.1.2.4.81",  # JPEG-LS Near-Lossless
        "1.2.840.10008.1.2.4.91",  # JPEG 2000
    }
)


def is_storage(sop_class_uid: str) -> bool:
    """Say whether objects of this class come by C-STORE.

    Every Storage SOP Class of PS3.4, retired and non-patient ones included, and whatever PS3.6
    does not know: private classes, and classes newer than this program.
    """
    if sop_class_uid in _NOT_BY_C_STORE:
        return False
    entry = UID_dictionary.get(sop_class_uid)
    if entry is None:
        return True
    name, kind = entry[0], entry[1]
    if not name:  # retired and nameless in PS3.6
        return sop_class_uid.startswith("1.2.840.10008.5.1.4.1.1.")
    return kind == "SOP Class" and "Storage" in name


def choose_transfer_syntax(proposed: Sequence[str]) -> str:
    """Choose the transfer syntax of a storage context from those that the peer proposes.

    The first in the peer's order that the node can decode and that loses nothing; else the first
    that it can decode; else the first, which is kept as it comes (video, HTJ2K, private ones).
    A peer that has the object in a lossy syntax only proposes no other for that context, so
    preferring a lossless one never costs pixels.

    Raises
    ------
    ValueError
        Nothing is proposed.
    """
    if not proposed:
        raise ValueError("a presentation context without transfer syntaxes")
    for group in (_LOSSLESS, _LOSSY):
        for uid in proposed:
            if uid in group:
                return uid
    return proposed[0]

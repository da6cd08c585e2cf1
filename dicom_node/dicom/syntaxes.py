"""Transfer syntaxes whose pixels the node can decode: the one table of them (PS3.5 10, A)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Final

IMPLICIT_LITTLE_ENDIAN: Final = "1.2.840.10008.1.2"
EXPLICIT_LITTLE_ENDIAN: Final = "1.2.840.10008.1.2.1"
DEFLATED: Final = "1.2.840.10008.1.2.1.99"
EXPLICIT_BIG_ENDIAN: Final = "1.2.840.10008.1.2.2"

_JPEG: Final = "ISO_10918_1"


class Coding(Enum):
    """How the cells of a frame are written."""

    CELLS = "as they are"
    JPEG = "jpeg"
    JPEG_LS = "jpeg-ls"
    JPEG_2000 = "jpeg-2000"
    RLE = "rle"


@dataclass(frozen=True, slots=True)
class Syntax:
    """A transfer syntax.

    Attributes
    ----------
    uid : str
    coding : Coding
    lossless : bool
        Whether it can only hold what was put into it.
    encapsulated : bool
        Whether Pixel Data is a sequence of fragments (PS3.5 A.4).
    lossy_method : str
        Lossy Image Compression Method (PS3.3 C.7.6.1.1.5.1) of a syntax that always loses
        something; "" of one that may not.
    """

    uid: str
    coding: Coding
    lossless: bool
    encapsulated: bool
    lossy_method: str = ""


def _cells(uid: str, *, encapsulated: bool = False) -> Syntax:
    return Syntax(uid, Coding.CELLS, lossless=True, encapsulated=encapsulated)


def _compressed(last: str, coding: Coding, *, lossless: bool = False, method: str = "") -> Syntax:
    uid = f"1.2.840.10008.1.2.{last}"
    return Syntax(uid, coding, lossless=lossless, encapsulated=True, lossy_method=method)


DECODED: Final = MappingProxyType(
    {
        syntax.uid: syntax
        for syntax in (
            _cells(IMPLICIT_LITTLE_ENDIAN),
            _cells(EXPLICIT_LITTLE_ENDIAN),
            _cells("1.2.840.10008.1.2.1.98", encapsulated=True),  # Encapsulated Uncompressed
            _cells(DEFLATED),
            _cells(EXPLICIT_BIG_ENDIAN),
            _compressed("4.50", Coding.JPEG, method=_JPEG),  # Baseline, Process 1
            _compressed("4.51", Coding.JPEG, method=_JPEG),  # Extended, Process 2 and 4
            _compressed("4.53", Coding.JPEG, method=_JPEG),  # Spectral Selection, 6 and 8
            _compressed("4.55", Coding.JPEG, method=_JPEG),  # Full Progression, 10 and 12
            _compressed("4.57", Coding.JPEG, lossless=True),  # Lossless, Process 14
            _compressed("4.70", Coding.JPEG, lossless=True),  # Process 14, Selection Value 1
            _compressed("4.80", Coding.JPEG_LS, lossless=True),
            _compressed("4.81", Coding.JPEG_LS, method="ISO_14495_1"),
            _compressed("4.90", Coding.JPEG_2000, lossless=True),
            _compressed("4.91", Coding.JPEG_2000),
            _compressed("4.201", Coding.JPEG_2000, lossless=True),  # HTJ2K
            _compressed("4.202", Coding.JPEG_2000, lossless=True),  # HTJ2K, RPCL
            _compressed("4.203", Coding.JPEG_2000),  # HTJ2K
            _compressed("5", Coding.RLE, lossless=True),
        )
    }
)
"""By UID. Of any other syntax an object is kept as it came."""


def best_of(proposed: Sequence[str]) -> str:
    """Choose the transfer syntax in which to receive, of those that a peer proposes.

    The first in the peer's order that can be decoded and is lossless; else the first that can be
    decoded; else the first, whose objects are kept as they come (video, private syntaxes). A peer
    that has the object in a lossy syntax only proposes no other for that context, so preferring a
    lossless one never costs pixels.

    Raises
    ------
    ValueError
        Nothing is proposed.
    """
    if not proposed:
        raise ValueError("a presentation context without transfer syntaxes")
    known = [DECODED[uid] for uid in proposed if uid in DECODED]
    lossless = [syntax for syntax in known if syntax.lossless]
    return next((syntax.uid for syntax in lossless + known), proposed[0])

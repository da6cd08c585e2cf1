"""How values are written."""

from __future__ import annotations

from typing import Final

PIXEL_DATA: Final = 0x7FE00010
"""Tag of Pixel Data (PS3.3 C.7.6.3)."""

UNDEFINED: Final = 0xFFFFFFFF
"""A length that is not stated (PS3.5 7.1)."""

LONGEST_SHORT: Final = 0xFFFE
"""The longest value whose length takes two bytes: even, and not all ones."""

LONG_VRS: Final = frozenset(
    {"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"}
)
"""Value representations whose length takes four bytes in Explicit VR (PS3.5 7.1.2)."""

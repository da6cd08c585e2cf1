"""How values are written."""

from __future__ import annotations

from typing import Final

LONG_VRS: Final = frozenset(
    {"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"}
)
"""Value representations whose length takes four bytes in Explicit VR (PS3.5 7.1.2)."""

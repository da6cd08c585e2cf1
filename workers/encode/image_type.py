"""Image Type (0008,0008) of results."""

from __future__ import annotations

import re
from collections.abc import Iterable

from workers.layout import value_of
from workers.load import Source

_CODE_STRING = re.compile(r"[A-Z0-9_ ]{0,16}")


def image_type(source: Source, examination: str | None = None) -> list[str]:
    """Return the values: DERIVED, then the examination value, then the source's others.

    Parameters
    ----------
    source : Source
        The image that was denoised.
    examination : str, optional
        Value 2, such as SECONDARY; by default the source's own, or PRIMARY.
    """
    own = values_of(value_of(source.dataset, "ImageType"))
    second = examination or (own[1] if len(own) > 1 and own[1] else "PRIMARY")
    return ["DERIVED", second, *own[2:]]


def values_of(value: str | Iterable[str] | None) -> list[str]:
    """Return code strings that are valid, in order; others become empty."""
    parts = [value] if isinstance(value, str) else [str(part) for part in value or ()]
    clean = [part.strip().upper() for part in parts]
    return [part if _CODE_STRING.fullmatch(part) else "" for part in clean]

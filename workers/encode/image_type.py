"""Image Type (0008,0008) of results."""

from __future__ import annotations

import re
from collections.abc import Iterable

from dicom_node.dicom.header import texts_of
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
    own = code_strings(texts_of(source.dataset, "ImageType"))
    second = examination or (own[1] if len(own) > 1 and own[1] else "PRIMARY")
    return ["DERIVED", second, *own[2:]]


def code_strings(texts: Iterable[str]) -> list[str]:
    """Return code strings that are valid, in order; others become empty."""
    clean = [text.upper() for text in texts]
    return [part if _CODE_STRING.fullmatch(part) else "" for part in clean]

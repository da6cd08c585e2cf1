"""PNG, TIFF and JPEG: grey values as stored, all pages of a TIFF."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageSequence

from model_store.errors import DataError
from model_store.training.readers.damage import damaged
from model_store.training.readers.slices import Slices

_ERRORS = (
    OSError,
    EOFError,
    SyntaxError,
    ValueError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)
_BYTE, _WORD = 255.0, 65535.0


def read_picture(path: Path) -> Slices:
    """Read every page of a picture.

    Raises
    ------
    DataError
        If it is truncated, or not grey.
    """
    try:
        with Image.open(path) as picture:
            pages = [(page.mode, np.asarray(page)) for page in ImageSequence.Iterator(picture)]
    except _ERRORS as error:
        raise damaged(path, "truncated or damaged picture", error) from error
    modes = {mode for mode, _ in pages}
    if len(modes) > 1 or len({page.shape for _, page in pages}) > 1:
        raise DataError(f"{path}: its pages are of different kinds or sizes; split it into files")
    (mode,) = modes
    if mode == "L":
        full: float | None = _BYTE
    elif mode.startswith("I;16"):
        full = _WORD
    elif mode in {"I", "F"}:
        full = None
    else:
        raise DataError(
            f"{path}: a colour picture ({mode}); only grey ones can be trained on: save it as 16 "
            "bits of grey, or take it out"
        )
    return Slices(np.stack([page for _, page in pages]).astype(np.float32), full)

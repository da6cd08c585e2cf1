"""Headers of stored instances: read without pixels, values without surprises."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Final

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from dicom_node.errors import StorageError, UnreadableObject

MALFORMED: Final = (
    InvalidDicomError, ValueError, TypeError, LookupError, NotImplementedError, EOFError,
    AttributeError, OverflowError, struct.error, ArithmeticError,
)  # fmt: skip
"""What pydicom raises on malformed bytes, while it reads and when a value is first used."""

_LARGE = 1024


def read_header(path: Path, sop_instance_uid: str) -> Dataset:
    """Read everything before the pixel data.

    Raises
    ------
    UnreadableObject
        The bytes are not a data set. The message names the instance, never a value.
    StorageError
        The file is missing or the disk fails.
    """
    try:
        return dcmread(path, stop_before_pixels=True, defer_size=_LARGE * 1024)
    except OSError as error:
        raise StorageError(f"{sop_instance_uid}: cannot be read: {error.strerror}") from error
    except (RecursionError, *MALFORMED) as error:
        raise UnreadableObject(
            f"{sop_instance_uid}: the data set cannot be read ({type(error).__name__}); "
            "it is kept as received"
        ) from error


def value_of(dataset: Dataset, keyword: str) -> object:
    """Value of an attribute, None where it is absent, empty or malformed."""
    try:
        value = dataset.get(keyword)
    except MALFORMED:
        return None
    return None if value == "" else value


def text_of(dataset: Dataset, keyword: str) -> str:
    """Value of an attribute as text, empty where it is absent or malformed."""
    value = value_of(dataset, keyword)
    return "" if value is None else str(value).strip()

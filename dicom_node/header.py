"""Headers of stored instances: read without pixels, values without surprises."""

from __future__ import annotations

from pathlib import Path

from pydicom.dataset import Dataset

from dicom_node.reading import VALUE_ERRORS, read_object


def read_header(path: Path, sop_instance_uid: str) -> Dataset:
    """Read everything before the pixel data.

    Raises
    ------
    UnreadableObject
        The bytes are not a data set, or end within the header. The message names the instance,
        never a value.
    FailItem
        The file is missing.
    RetryLater
        The disk fails.
    """
    return read_object(path, header_only=True, name=sop_instance_uid)


def value_of(dataset: Dataset, keyword: str) -> object:
    """Value of an attribute, None where it is absent, empty or malformed."""
    try:
        value = dataset.get(keyword)
    except VALUE_ERRORS:
        return None
    return None if value == "" else value


def text_of(dataset: Dataset, keyword: str) -> str:
    """Value of an attribute as text, empty where it is absent or malformed."""
    value = value_of(dataset, keyword)
    return "" if value is None else str(value).strip()

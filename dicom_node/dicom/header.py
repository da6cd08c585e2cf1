"""Headers of stored instances: read without pixels, values without surprises.

Whoever reads a value of a foreign object reads it here. The VR that a file states is what its
value is parsed by, whatever the dictionary says, so any attribute may hold anything. What is not
of the kind that is asked for is as good as absent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date, time
from decimal import Decimal
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeVar

from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence
from pydicom.valuerep import PersonName

from dicom_node.dicom.reading import VALUE_ERRORS, read_object

_T = TypeVar("_T")
_TEXT: Final = (str, int, float, Decimal, date, time, PersonName)
"""What a value that is text, or has a text, is made of."""

_ITEM: Final = "item"


def read_header(file: Path | BinaryIO, sop_instance_uid: str) -> Dataset:
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
    return read_object(file, header_only=True, name=sop_instance_uid)


def value_of(dataset: Dataset, keyword: str) -> Any:
    """Value of an attribute, None where it is absent, empty or malformed.

    Of any type: the readers below say which they want.
    """
    try:
        value = dataset.get(keyword)
        empty = value == ""
    except VALUE_ERRORS:
        return None
    return None if empty else value


def texts_of(dataset: Dataset, keyword: str) -> tuple[str, ...]:
    """Every value of an attribute as text, in order; none where it is absent or malformed.

    A value that has no text (bytes, an item) is empty.
    """
    return _read(dataset, keyword, lambda value: tuple(map(_text, _parts(value))), ())


def text_of(dataset: Dataset, keyword: str) -> str:
    """Value of an attribute as text, empty where it is absent or malformed.

    Several values are joined as they are written, by a backslash (PS3.5 6.2).
    """
    return "\\".join(texts_of(dataset, keyword))


def number_of(dataset: Dataset, keyword: str) -> float | None:
    """The attribute's (first) value as a number; None if it has none. May be NaN or infinite."""
    return _read(dataset, keyword, lambda value: _number(*_parts(value)[:1]), None)


def numbers_of(dataset: Dataset, keyword: str) -> tuple[float, ...]:
    """Every value of an attribute as a number; none where one of them is not a number."""
    none: list[float | None] = []
    numbers = _read(dataset, keyword, lambda value: [*map(_number, _parts(value))], none)
    known = tuple(number for number in numbers if number is not None)
    return known if len(known) == len(numbers) else ()


def items_of(dataset: Dataset, keyword: str) -> list[Dataset]:
    """Items of a sequence; none where the attribute is absent, malformed or no sequence."""
    value = value_of(dataset, keyword)
    if not isinstance(value, Sequence):
        return []
    return _read(dataset, keyword, lambda items: [each for each in items if _is_item(each)], [])


def asked_of(dataset: Dataset, keyword: str) -> tuple[str, ...]:
    """What a condition of a route sees of an attribute; nothing where it is absent or malformed.

    Texts; of bytes what is ASCII; of a sequence one word for each item, whatever is in it.
    """
    return _read(dataset, keyword, lambda value: tuple(map(_asked, _parts(value))), ())


def _read(dataset: Dataset, keyword: str, how: Callable[[Any], _T], without: _T) -> _T:
    value = value_of(dataset, keyword)
    try:
        return without if value is None else how(value)
    except VALUE_ERRORS:  # values of several parts are parsed when a part is asked for
        return without


def _parts(value: Any) -> tuple[Any, ...]:
    several = isinstance(value, MultiValue | Sequence | list | tuple)
    return tuple(value) if several and isinstance(value, Iterable) else (value,)


def _text(part: Any) -> str:
    return str(part).strip() if isinstance(part, _TEXT) else ""


def _number(part: Any = None) -> float | None:
    if not isinstance(part, str | int | float | Decimal):
        return None
    try:
        return float(part)
    except (ValueError, OverflowError):
        return None


def _asked(part: Any) -> str:
    if isinstance(part, bytes):
        return part.decode("ascii", "replace").strip()
    return _ITEM if _is_item(part) else _text(part)


def _is_item(part: Any) -> bool:
    return isinstance(part, Dataset)

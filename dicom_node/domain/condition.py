"""Conditions of a route: what one attribute of a data set must be."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from dicom_node.domain.pattern import pattern_of

Scalar = str | int | float

_LARGEST = 10**18
_NUMBER = re.compile(r"[+-]?([0-9]{1,32}(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")
"""A number as DS and IS write it (PS3.5 6.2)."""


def _texts(value: object) -> tuple[str, ...]:
    """Value of an attribute as texts; several for a multi-valued attribute, none if absent."""
    if value is None:
        return ()
    if isinstance(value, (str, bytes)):
        text = value.decode("ascii", "replace") if isinstance(value, bytes) else value
        return (text.strip(),) if text.strip() else ()
    if isinstance(value, Sequence):
        return tuple(str(part).strip() for part in value if str(part).strip())
    return (str(value).strip(),) if str(value).strip() else ()


def _number(text: str) -> float | None:
    number = float(text) if _NUMBER.fullmatch(text) else math.inf
    return number if math.isfinite(number) else None


def _same(text: str, wanted: Scalar) -> bool:
    if isinstance(wanted, str):
        return text == wanted
    return _number(text) == float(wanted)


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition on one attribute. All parts that are set must hold.

    Parameters
    ----------
    keyword : str
        DICOM keyword, such as ``Modality`` (PS3.6).
    one_of : tuple of str, int or float, optional
        At least one value of the attribute equals one of these.
    regex : str, optional
        At least one value matches this regular expression somewhere; see
        `dicom_node.domain.pattern`.
    minimum, maximum : float, optional
        At least one value is a number within these inclusive limits.
    present : bool, optional
        The attribute has a value (True) or has none (False).
    negate : bool
        The condition holds where the parts above do not.
    """

    keyword: str
    one_of: tuple[Scalar, ...] | None = None
    regex: str | None = None
    minimum: float | None = None
    maximum: float | None = None
    present: bool | None = None
    negate: bool = False

    def __post_init__(self) -> None:
        if self.regex is not None:
            try:
                pattern_of(self.regex)
            except ValueError as error:
                raise ValueError(
                    f"{self.keyword}: {self.regex!r} is not a regular expression: {error}"
                ) from error
        for wanted in self.one_of or ():
            if isinstance(wanted, int) and abs(wanted) > _LARGEST:
                raise ValueError(f"{self.keyword}: no attribute can hold so large a number")
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise ValueError(f"{self.keyword}: min {self.minimum} is above max {self.maximum}")

    def holds(self, value: object) -> bool:
        """Whether the condition holds for the attribute's value (None if absent)."""
        return self._holds(_texts(value)) is not self.negate

    def _holds(self, texts: tuple[str, ...]) -> bool:
        if self.present is not None and bool(texts) is not self.present:
            return False
        if self.one_of is not None and not any(_same(t, w) for t in texts for w in self.one_of):
            return False
        if self.regex is not None and not any(map(pattern_of(self.regex).found_in, texts)):
            return False
        if self.minimum is not None or self.maximum is not None:
            low = float("-inf") if self.minimum is None else self.minimum
            high = float("inf") if self.maximum is None else self.maximum
            numbers = [number for text in texts if (number := _number(text)) is not None]
            if not any(low <= number <= high for number in numbers):
                return False
        return True

    def __str__(self) -> str:
        parts: list[str] = []
        if self.one_of is not None:
            words = ", ".join(repr(value) for value in self.one_of)
            parts.append(f"is {words}" if len(self.one_of) == 1 else f"is one of {words}")
        if self.regex is not None:
            parts.append(f"matches {self.regex!r}")
        if self.minimum is not None:
            parts.append(f"is at least {self.minimum:g}")
        if self.maximum is not None:
            parts.append(f"is at most {self.maximum:g}")
        if self.present is not None:
            parts.append("is present" if self.present else "is absent")
        text = f"{self.keyword} {' and '.join(parts)}"
        return f"not ({text})" if self.negate else text

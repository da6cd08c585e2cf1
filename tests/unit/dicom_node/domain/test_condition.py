"""Conditions as a person reads them, and where their limits lie."""

from __future__ import annotations

from typing import Any

import pytest

from dicom_node.domain.condition import Condition


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"one_of": ("CT",)}, "X is 'CT'"),
        ({"one_of": ("CT", 3)}, "X is one of 'CT', 3"),
        ({"regex": "^A"}, "X matches '^A'"),
        ({"minimum": 1.5}, "X is at least 1.5"),
        ({"maximum": 2.0}, "X is at most 2"),
        ({"minimum": 1.0, "maximum": 2.0}, "X is at least 1 and is at most 2"),
        ({"present": True}, "X is present"),
        ({"present": False}, "X is absent"),
        ({"present": True, "negate": True}, "not (X is present)"),
        ({"regex": "A", "present": True}, "X matches 'A' and is present"),
    ],
)
def test_a_condition_is_read_as_it_is_meant(parts: dict[str, Any], words: str) -> None:
    assert str(Condition("X", **parts)) == words


@pytest.mark.parametrize(
    ("parts", "value", "holds"),
    [
        ({"minimum": 1.0}, "1", True),
        ({"minimum": 1.0}, "0.999", False),
        ({"maximum": 2.0}, "2", True),
        ({"maximum": 2.0}, "2.001", False),
        ({"minimum": 1.0, "maximum": 2.0}, ["0", "3"], False),
        ({"minimum": 1.0, "maximum": 2.0}, ["0", "1.5"], True),
        ({"minimum": 2.0, "maximum": 2.0}, "2", True),
        ({"minimum": -1e300}, None, False),
        ({"minimum": -1e300}, "inf", False),
        ({"maximum": 1e300}, "-inf", False),
        ({"maximum": 1e300}, "one", False),
        ({"present": True}, " ", False),
        ({"present": False}, " ", True),
        ({"present": False}, ["", " "], True),
        ({"present": True}, ["", "x"], True),
        ({"one_of": (3,)}, "3.0", True),
        ({"one_of": (3,)}, "3.1", False),
        ({"one_of": ("3",)}, "3.0", False),
        ({"one_of": ("a", "b"), "regex": "c"}, ["a", "c"], True),
        ({"one_of": ("a", "b"), "regex": "c"}, ["a"], False),
        ({"one_of": ("a", "b"), "present": False}, None, False),
    ],
)
def test_a_condition_holds_up_to_its_limits(
    parts: dict[str, Any], value: object, holds: bool
) -> None:
    assert Condition("X", **parts).holds(value) is holds
    assert Condition("X", **parts, negate=True).holds(value) is not holds


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"regex": "("}, r"X: '\(' is not a regular expression"),
        ({"minimum": 2.0, "maximum": 1.9}, "X: min 2.0 is above max 1.9"),
        ({"one_of": ("a", 10**400)}, "X: no attribute can hold so large a number"),
        ({"one_of": (-(10**400),)}, "X: no attribute can hold so large a number"),
    ],
)
def test_a_condition_that_can_never_be_meant_is_refused(parts: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Condition("X", **parts)

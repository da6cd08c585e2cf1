"""Waits between attempts."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from dicom_node.domain.backoff import delay

SECOND = timedelta(seconds=1)


def waits(count: int, draw: float) -> list[float]:
    return [
        delay(
            n,
            first=SECOND,
            factor=2.0,
            ceiling=10 * SECOND,
            random=lambda: draw,
        ).total_seconds()
        for n in range(1, count + 1)
    ]


def test_the_wait_doubles_up_to_the_ceiling() -> None:
    assert waits(6, 1.0) == [1, 2, 4, 8, 10, 10]


def test_half_of_the_wait_is_left_to_chance() -> None:
    assert waits(3, 0.0) == [0.5, 1, 2]
    assert waits(3, 0.5) == [0.75, 1.5, 3]


def test_a_million_attempts_do_not_overflow() -> None:
    assert delay(10**6, ceiling=60 * SECOND, random=lambda: 1.0) == 60 * SECOND


@pytest.mark.parametrize(
    "wrong",
    [
        {"attempt": 0},
        {"first": -SECOND},
        {"first": 2 * SECOND, "ceiling": SECOND},
        {"factor": 0.5},
        {"factor": float("nan")},
        {"factor": float("inf")},
    ],
)
def test_senseless_parameters_are_refused(wrong: dict[str, Any]) -> None:
    arguments = {"attempt": 1} | wrong
    with pytest.raises(ValueError, match=r"must|counted"):
        delay(**arguments)

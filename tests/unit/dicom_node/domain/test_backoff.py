"""Waits between attempts."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from dicom_node.domain.backoff import Jitter, delay

SECOND = timedelta(seconds=1)


def waits(count: int, jitter: Jitter = Jitter.NONE, draw: float = 0.0) -> list[float]:
    return [
        delay(
            n,
            first=SECOND,
            factor=2.0,
            ceiling=10 * SECOND,
            jitter=jitter,
            random=lambda: draw,
        ).total_seconds()
        for n in range(1, count + 1)
    ]


def test_the_wait_doubles_up_to_the_ceiling() -> None:
    assert waits(6) == [1, 2, 4, 8, 10, 10]


def test_equal_jitter_keeps_half_of_the_wait() -> None:
    assert waits(3, Jitter.EQUAL, 0.0) == [0.5, 1, 2]
    assert waits(3, Jitter.EQUAL, 0.5) == [0.75, 1.5, 3]


def test_full_jitter_may_be_nothing() -> None:
    assert waits(3, Jitter.FULL, 0.0) == [0, 0, 0]
    assert waits(3, Jitter.FULL, 0.25) == [0.25, 0.5, 1]


def test_a_million_attempts_do_not_overflow() -> None:
    assert delay(10**6, ceiling=60 * SECOND, jitter=Jitter.NONE) == 60 * SECOND


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

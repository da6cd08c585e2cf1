"""How long to wait before the next attempt: exponential, with a ceiling and jitter."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import timedelta
from enum import Enum
from random import random as _uniform


class Jitter(Enum):
    """How much of the wait is left to chance, so that many waiting parcels do not come at once.

    After M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """

    NONE = "none"
    """The wait itself."""

    EQUAL = "equal"
    """Between half of the wait and the whole wait."""

    FULL = "full"
    """Between nothing and the whole wait."""


def delay(
    attempt: int,
    *,
    first: timedelta = timedelta(seconds=5),
    factor: float = 2.0,
    ceiling: timedelta = timedelta(minutes=15),
    jitter: Jitter = Jitter.EQUAL,
    random: Callable[[], float] = _uniform,
) -> timedelta:
    """Return the wait after the `attempt`-th failed attempt.

    Parameters
    ----------
    attempt : int
        How many attempts have failed, from 1.
    first : timedelta
        Wait after the first failure, before jitter; not negative.
    factor : float
        By what the wait grows from one failure to the next; at least 1.
    ceiling : timedelta
        Longest wait; not below `first`.
    jitter : Jitter
        What part of the wait is drawn.
    random : callable
        Draws from [0, 1).

    Returns
    -------
    timedelta
        Between zero (`Jitter.FULL`) or half the wait (`Jitter.EQUAL`) and `ceiling`.

    Raises
    ------
    ValueError
        For a parameter outside its range.
    """
    if attempt < 1:
        raise ValueError(f"attempts are counted from 1, not {attempt}")
    if first < timedelta(0) or ceiling < first:
        raise ValueError("the first wait must not be negative, nor the ceiling below it")
    if not (math.isfinite(factor) and factor >= 1.0):
        raise ValueError(f"the factor must be finite and at least 1, not {factor}")
    whole = _grown(attempt - 1, first, factor, ceiling)
    if jitter is Jitter.NONE:
        return whole
    fixed = whole / 2 if jitter is Jitter.EQUAL else timedelta(0)
    return fixed + (whole - fixed) * random()


def _grown(steps: int, first: timedelta, factor: float, ceiling: timedelta) -> timedelta:
    """Return ``min(first * factor ** steps, ceiling)`` without overflow."""
    if not first or first == ceiling:
        return first
    # Compared as logarithms: factor ** steps overflows long before attempts run out.
    room = math.log(ceiling / first)
    if steps * math.log(factor) >= room:
        return ceiling
    return min(first * factor**steps, ceiling)

"""How long to wait before the next attempt: exponential, with a ceiling and jitter."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import timedelta
from random import random as _uniform


def delay(
    attempt: int,
    *,
    first: timedelta = timedelta(seconds=5),
    factor: float = 2.0,
    ceiling: timedelta = timedelta(minutes=15),
    random: Callable[[], float] = _uniform,
) -> timedelta:
    """Return the wait after the `attempt`-th failed attempt.

    Half of it is left to chance, so that many waiting parcels do not come at once (M. Brooker,
    "Exponential Backoff And Jitter", AWS Architecture Blog, 2015: equal jitter).

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
    random : callable
        Draws from [0, 1).

    Returns
    -------
    timedelta
        Between half of the wait and the whole wait.

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
    fixed = whole / 2
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

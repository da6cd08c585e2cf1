"""How fast engines are beside each other on this machine, found out in a bounded time."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from model_store.engines.base import Engine, EngineMemoryError, Images

_WARM = 2
"""Calls before the clock counts: kernels are made in the first, a CUDA graph in the second."""
_MOST_ROUNDS = 51
_BATCHED = 512
"""Longest side of images that go in batches."""

Size = tuple[int, int]
Tell = Callable[[str], None]
Timer = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Rate:
    """What one engine did with images of one size.

    Parameters
    ----------
    engine : int
        Place among the engines that were measured.
    size : tuple of int
        Rows and columns.
    batch : int
        Images of a call.
    images_per_second : float
        Of the median call.
    spread : float
        Distance of the quartiles of a call's time, as a part of the median.
    rounds : int
        How many calls were timed.
    """

    engine: int
    size: Size
    batch: int
    images_per_second: float
    spread: float
    rounds: int


@dataclass(frozen=True, slots=True)
class Omission:
    """An engine that was not measured at a size.

    Parameters
    ----------
    engine : int
        Place among the engines.
    size : tuple of int
    why : str
    """

    engine: int
    size: Size
    why: str


@dataclass(frozen=True, slots=True)
class Rates:
    """What was found: by size, then in the order of the engines."""

    rates: tuple[Rate, ...]
    left_out: tuple[Omission, ...]


def measure(
    engines: Sequence[Engine],
    sizes: Sequence[Size],
    seconds: float,
    *,
    tell: Tell = lambda what: None,
    clock: Timer = time.perf_counter,
) -> Rates:
    """Let engines take turns, and take the median call of each.

    Whatever else the machine does meets all of them alike: in each round every engine is called
    once, and another one is first each time.

    Parameters
    ----------
    engines : sequence of Engine
        Ready to run.
    sizes : sequence of tuple of int
        Rows and columns, multiples of the model's stride, the smallest first. 512 x 512 goes in
        batches as each engine prefers them, anything larger one by one.
    seconds : float
        For all sizes together. At the first size every engine is called twice at least, once of it
        timed, however long that takes; at a later one an engine that would take too long, by what
        it took before, is left out.
    tell : callable
        Told in words which size comes next.
    clock : callable
        Seconds.

    Raises
    ------
    EngineError
        If an engine fails for another reason than memory.
    """
    rates: list[Rate] = []
    left_out: list[Omission] = []
    for number, size in enumerate(sizes):
        tell(f"measuring {size[0]} x {size[1]}")
        end = clock() + seconds / len(sizes)
        asked: Sequence[int] = range(len(engines))
        if number:
            asked, late = _in_time(rates, size, seconds / len(sizes))
            left_out += late
        given, full = _warmed(engines, asked, size, end, clock)
        left_out += full
        rates += _one_size(engines, given, size, end, clock)
    return Rates(tuple(rates), tuple(left_out))


def _in_time(
    rates: Sequence[Rate], size: Size, seconds: float
) -> tuple[Sequence[int], list[Omission]]:
    """Those engines that can be called twice in the time there is, the quickest first chosen."""
    pixels = size[0] * size[1]
    first = [rate for rate in rates if rate.size == rates[0].size]
    asked: list[int] = []
    late: list[Omission] = []
    for rate in sorted(first, key=lambda rate: -rate.images_per_second):
        one = pixels / (rate.size[0] * rate.size[1] * rate.images_per_second)
        seconds -= _WARM * one
        if asked and seconds < 0:
            why = f"no time: a call takes about {one:.0f} s"
            late.append(Omission(rate.engine, size, why))
        else:
            asked.append(rate.engine)
    return sorted(asked), late


def _warmed(
    engines: Sequence[Engine], asked: Sequence[int], size: Size, end: float, clock: Timer
) -> tuple[dict[int, Images], list[Omission]]:
    """Call every engine until it is at its best; what each gets, and who lacks the memory."""
    given: dict[int, Images] = {}
    full: list[Omission] = []
    for place in asked:
        batch = engines[place].preferred_batch if max(size) <= _BATCHED else 1
        images = _images(size, batch)
        try:
            for _ in range(_WARM):
                engines[place].infer(images)
                if clock() > end:
                    break
        except EngineMemoryError as error:
            full.append(Omission(place, size, str(error)))
            continue
        given[place] = images
    return given, full


def _one_size(
    engines: Sequence[Engine], given: dict[int, Images], size: Size, end: float, clock: Timer
) -> list[Rate]:
    taken: dict[int, list[float]] = {place: [] for place in given}
    order = list(taken)
    for _ in range(_MOST_ROUNDS):
        for place in order:
            started = clock()
            engines[place].infer(given[place])
            taken[place].append(clock() - started)
        if clock() > end:
            break
        order = order[1:] + order[:1]
    return [_rate(place, size, len(given[place]), times) for place, times in taken.items()]


def _rate(place: int, size: Size, batch: int, times: list[float]) -> Rate:
    median = statistics.median(times)
    spread = 0.0
    if len(times) > 1:
        low, _, high = statistics.quantiles(times, n=4)
        spread = (high - low) / median
    return Rate(place, size, batch, batch / median, spread, len(times))


def _images(size: Size, batch: int) -> Images:
    """Noise: no engine here takes a shortcut for any content."""
    return np.random.default_rng(0).random((batch, 1, *size), dtype=np.float32)

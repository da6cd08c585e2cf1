"""What shadow runs say of a version, paired with the one that delivered: numbers and words.

Images of a series are alike, so a series counts as one observation: its images are averaged first.
Confidence intervals are over the series, by the bootstrap.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from model_store.registry.records import Measure

FEWEST_SERIES: Final = 8
"""Series below which nothing is concluded."""

BIAS_LIMIT: Final = 1.0
"""Shift of flat regions that counts as one: 1 HU, or one grey level of twelve bits."""

_RESAMPLES: Final = 10_000
_AT_ONCE: Final = 500
_SEED: Final = 20260121
_Z: Final = 1.959963984540054
"""97.5 % point of the normal distribution."""

Conclusion = Literal["too few", "failed", "shifted", "more noise", "less noise", "alike"]


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate over series with its 95 % confidence interval.

    Parameters
    ----------
    value, low, high : float
        The interval is NaN below `FEWEST_SERIES`.
    series : int
        Series that it is over.
    """

    value: float
    low: float
    high: float
    series: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two versions on the same live images.

    Parameters
    ----------
    production, shadow : str
        ``name@version`` of what delivered, and of what ran beside it.
    units : str
        Of `bias`, `rms_difference` and `largest_difference`.
    series, images : int
        Measured ones.
    failures : int
        Images on which the shadow failed.
    failure : str
        The most frequent reason; empty without failures.
    noise : Interval
        Noise that the shadow leaves, as a multiple of what production leaves (geometric mean).
    bias : Interval
        Mean of flat regions, shadow minus production, in `units`.
    time : Interval
        Time of the shadow's network, as a multiple of production's (geometric mean).
    rms_difference, largest_difference : float
        Over all pixels of all images, in `units`; NaN without images.
    strengths : tuple of pairs
        Strengths of production and of the shadow, each pair once; None where none was kept.
    """

    production: str
    shadow: str
    units: str
    series: int
    images: int
    failures: int
    failure: str
    noise: Interval
    bias: Interval
    time: Interval
    rms_difference: float
    largest_difference: float
    strengths: tuple[tuple[float | None, float | None], ...] = ()

    @property
    def wanted(self) -> int:
        """Series with flat regions that are still wanted before anything is concluded."""
        return max(0, FEWEST_SERIES - self.noise.series)

    @property
    def conclusion(self) -> Conclusion:
        """The verdict in a word; the first of failed, too few, shifted, and noise that applies."""
        if self.failures:
            return "failed"
        if self.wanted:
            return "too few"
        if self.bias.low > BIAS_LIMIT or self.bias.high < -BIAS_LIMIT:
            return "shifted"
        if self.noise.low > 1:
            return "more noise"
        return "less noise" if self.noise.high < 1 else "alike"

    @property
    def negative(self) -> bool:
        """Whether something speaks against the shadow, or nothing can be said yet."""
        return self.conclusion not in ("less noise", "alike")

    def words(self) -> list[str]:
        """The verdict in sentences, what matters most first."""
        said = []
        if self.failures:
            of = self.failures + self.images
            said.append(
                f"{self.shadow} failed on {self.failures} of {of} images, most often: "
                f"{self.failure}."
            )
        if self.wanted:
            said.append(
                f"No verdict: {self.noise.series} series with flat regions were measured, "
                f"{self.wanted} more are wanted."
            )
            return said
        return [
            *said, self._noise_in_words(), self._bias_in_words(), self._time_in_words(),
            *self._strengths_in_words(),
        ]  # fmt: skip

    def _strengths_in_words(self) -> list[str]:
        """What the reader must know of the strengths; nothing if both ran at the same."""
        if len(self.strengths) > 1:
            pairs = "; ".join(" and ".join(map(_strength, pair)) for pair in self.strengths)
            return [
                "Images of several strengths are averaged here (production and shadow at "
                f"{pairs}): set the shadow again, with --why, to count anew."
            ]
        return [
            f"Production ran at strength {_strength(ours)}, the shadow at its own, "
            f"{_strength(its)}, as it would deliver: part of the difference is that of the "
            "strengths."
            for ours, its in self.strengths
            if ours != its
        ]

    def _noise_in_words(self) -> str:
        noise = self.noise
        said = (
            f"{self.shadow} leaves {100 * noise.value:.1f} % of the noise that {self.production} "
            f"leaves (95 % from {100 * noise.low:.1f} to {100 * noise.high:.1f} %)"
        )
        if self.noise.low > 1:
            return f"{said}: more."
        if self.noise.high < 1:
            return f"{said}: less. Whether detail went with it, flat regions cannot show."
        return f"{said}: no difference can be told."

    def _bias_in_words(self) -> str:
        bias, limit = self.bias, f"{BIAS_LIMIT:g} {self.units}"
        said = (
            f"Flat regions come out {bias.value:+.2f} {self.units} against it "
            f"(95 % from {bias.low:+.2f} to {bias.high:+.2f})"
        )
        if bias.low > BIAS_LIMIT or bias.high < -BIAS_LIMIT:
            return f"{said}: values are shifted by more than {limit}."
        if bias.low >= -BIAS_LIMIT and bias.high <= BIAS_LIMIT:
            return f"{said}: within {limit}."
        return f"{said}: whether that is more than {limit} cannot be told yet."

    def _time_in_words(self) -> str:
        if math.isnan(self.time.value):
            return "Times were not comparable."
        if self.time.series < FEWEST_SERIES:
            return f"It takes about {self.time.value:.2f} times as long, from few series."
        return (
            f"It takes {self.time.value:.2f} times as long "
            f"(95 % from {self.time.low:.2f} to {self.time.high:.2f})."
        )


def compare(production: str, shadow: str, measures: Sequence[Measure]) -> Comparison:
    """Compare two versions by what was measured of both on the same images.

    Parameters
    ----------
    production, shadow : str
        ``name@version``.
    measures : sequence of Measure
        Of this pair, in any order.
    """
    good = [each for each in measures if each.error is None]
    bad = Counter(each.error for each in measures if each.error is not None)
    squares = [each.rms_difference**2 for each in good if each.rms_difference is not None]
    largest = [each.largest_difference for each in good if each.largest_difference is not None]
    return Comparison(
        production=production,
        shadow=shadow,
        units=next((each.units for each in good if each.units), ""),
        series=len({each.series_uid for each in good}),
        images=len(good),
        failures=bad.total(),
        failure=str(bad.most_common(1)[0][0]) if bad else "",
        noise=_ratio(good, lambda each: (each.noise_shadow, each.noise_production)),
        bias=interval(_by_series(good, lambda each: each.bias)),
        time=_ratio(good, lambda each: (each.seconds_shadow, each.seconds_production)),
        rms_difference=math.sqrt(sum(squares) / len(squares)) if squares else math.nan,
        largest_difference=max(largest, default=math.nan),
        strengths=tuple(
            sorted(
                {(each.strength_production, each.strength_shadow) for each in good},
                key=lambda pair: [-1.0 if each is None else each for each in pair],
            )
        ),
    )


def _strength(value: float | None) -> str:
    return "one that was not kept" if value is None else f"{value:g}"


def interval(values: NDArray[np.float64]) -> Interval:
    """Mean of independent values with its 95 % bootstrap confidence interval.

    The percentile interval, with its percentiles moved outwards so that it is as wide as the t
    interval for normal values of so small a sample: ``Phi(-sqrt(n / (n-1)) t)`` in place of
    2.5 % (Hesterberg, "What Teachers Should Know About the Bootstrap", The American Statistician
    69, 2015, expanded percentile interval). The same values give the same interval.

    Parameters
    ----------
    values : ndarray of float64, shape (n,)
        One of each series.
    """
    count = len(values)
    if count == 0:
        return Interval(math.nan, math.nan, math.nan, 0)
    mean = float(values.mean())
    if count < FEWEST_SERIES:
        return Interval(mean, math.nan, math.nan, count)
    rng = np.random.default_rng(_SEED)
    means = np.concatenate(
        [
            values[rng.integers(count, size=(_AT_ONCE, count))].mean(1)
            for _ in range(_RESAMPLES // _AT_ONCE)
        ]
    )
    tail = _normal(-math.sqrt(count / (count - 1)) * _student(count - 1))
    low, high = np.quantile(means, [tail, 1 - tail])
    return Interval(mean, float(low), float(high), count)


def _ratio(
    measures: Sequence[Measure], of: Callable[[Measure], tuple[float | None, float | None]]
) -> Interval:
    """Geometric mean of a ratio, over series."""

    def log(each: Measure) -> float | None:
        above, below = of(each)
        return math.log(above / below) if above and below else None

    found = interval(_by_series(measures, log))
    return Interval(math.exp(found.value), math.exp(found.low), math.exp(found.high), found.series)


def _by_series(
    measures: Sequence[Measure], value: Callable[[Measure], float | None]
) -> NDArray[np.float64]:
    """Mean of each series, in order of its UID; series without a value are left out."""
    found: dict[str, list[float]] = {}
    for each in measures:
        number = value(each)
        if number is not None:
            found.setdefault(each.series_uid, []).append(number)
    return np.array([np.mean(found[uid]) for uid in sorted(found)], np.float64)


def _normal(x: float) -> float:
    """Distribution function of the normal distribution."""
    return 0.5 * math.erfc(-x / math.sqrt(2))


def _student(freedom: int) -> float:
    """97.5 % point of Student's t, from 7 degrees of freedom on to three digits.

    source: Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.5.
    """
    z, n = _Z, freedom
    return (
        z
        + (z**3 + z) / (4 * n)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * n**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * n**3)
    )

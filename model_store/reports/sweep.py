"""Over which qualities of the input a model version helps: its gain against the input's PSNR."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from model_store.manifest import Manifest, Validity

Point = tuple[float, float]

_IN, _GAIN, _NOISE = "PSNR in", "gain dB", ("noise HU", "noise of the range")


@dataclass(frozen=True, slots=True)
class Sweep:
    """Gain over noise levels, as the manifest or a table of the evaluation has it.

    Parameters
    ----------
    gain : tuple of (float, float)
        PSNR of the input and gain, dB, by growing PSNR.
    crossing : float or None
        PSNR of the input above which the gain is negative, dB; None if it never is.
    crossing_sd : float or None
        The same as noise: standard deviation in the manifest's input units below which the image
        is made worse; None if not known.
    trained : (float, float) or None
        Range of the training's noise as PSNR of the input, dB.
    measure : str
        What the PSNR is of.
    note : str
        What to know when reading it.
    """

    gain: tuple[Point, ...]
    crossing: float | None
    crossing_sd: float | None
    trained: Point | None
    measure: str
    note: str

    @property
    def out(self) -> tuple[Point, ...]:
        """PSNR of input and output, dB."""
        return tuple((entry, entry + gain) for entry, gain in self.gain)

    @property
    def helps_nowhere(self) -> bool:
        """Whether every level loses."""
        return all(gain < 0 for _, gain in self.gain)

    @classmethod
    def stated(cls, validity: Validity) -> Sweep:
        """What a manifest states."""
        return cls(
            tuple(sorted(validity.gain_curve)),
            validity.zero_crossing_psnr,
            validity.zero_crossing_sd,
            validity.trained_psnr,
            validity.measure,
            f"{validity.images} images. {validity.noise[:1].upper()}{validity.noise[1:]}. "
            f"{validity.statement}",
        )

    @classmethod
    def tabled(cls, manifest: Manifest, tables: Sequence[Mapping[str, Any]]) -> Sweep | None:
        """What a table of an evaluation has; None without one.

        Parameters
        ----------
        manifest : Manifest
            Of the version; says what was trained.
        tables : sequence of mapping
            Tables of the evaluation.
        """
        table = next((item for item in tables if {_IN, _GAIN} <= set(item["columns"])), None)
        if table is None:
            return None
        gain = _pairs_of(table, _IN, _GAIN)
        if not gain:
            return None
        column = next((name for name in _NOISE if name in table["columns"]), None)
        noise = () if column is None else _pairs_of(table, _IN, column)
        crossing = _crossing(gain)
        return cls(
            gain,
            crossing,
            None if crossing is None else _deviation(manifest, noise, crossing),
            _trained(manifest, noise),
            "PSNR",
            str(table.get("note") or ""),
        )


def _pairs_of(table: Mapping[str, Any], x: str, y: str) -> tuple[Point, ...]:
    across, upward = (table["columns"].index(name) for name in (x, y))
    rows = ((row[across], row[upward]) for row in table["rows"])
    return tuple(sorted((float(a), float(b)) for a, b in rows if a is not None and b is not None))


def _crossing(gain: Sequence[Point]) -> float | None:
    """PSNR at which the gain falls through zero for good, between measured points."""
    if gain[-1][1] >= 0:
        return None
    for (left, before), (right, after) in reversed(list(pairwise(gain))):
        if before >= 0 > after:
            return round(left + (right - left) * before / (before - after), 2)
    return gain[0][0]


def _deviation(manifest: Manifest, noise: Sequence[Point], decibel: float) -> float | None:
    if manifest.input.units == "stored":
        return float(f"{10 ** (-decibel / 20):.2g}")
    return _between(noise, decibel, rounded=1)


def _trained(manifest: Manifest, noise: Sequence[Point]) -> Point | None:
    """The manifest's range of noise as PSNR; without noise there is no upper end."""
    low, high = manifest.trained_noise.minimum_sd, manifest.trained_noise.maximum_sd
    if high <= 0:
        return None
    if manifest.input.units == "stored":
        return -20 * math.log10(high), -20 * math.log10(low) if low > 0 else math.inf
    least = _between([(sd, entry) for entry, sd in reversed(noise)], high)
    most = _between([(sd, entry) for entry, sd in reversed(noise)], low) if low > 0 else math.inf
    return None if least is None or most is None else (least, most)


def _between(points: Sequence[Point], x: float, rounded: int = 2) -> float | None:
    """Linear interpolation in points by growing x; None outside of them."""
    for (left, first), (right, second) in pairwise(points):
        if left <= x <= right and left < right:
            return round(first + (second - first) * (x - left) / (right - left), rounded)
    return None

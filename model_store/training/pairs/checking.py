"""Pairs read from their files and held against each other, slice by slice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from model_store.errors import DataError
from model_store.training.ct_patches import soft_tissue
from model_store.training.pairs.geometry import SPACING
from model_store.training.pairs.listing import Pair, Told, nobody, some
from model_store.training.pairs.registration import shift_between, unrelated
from model_store.training.pairs.section import PairsData
from model_store.training.patches import Floats
from model_store.training.readers.slices import Slices
from model_store.training.readers.values import Scale, Units, read_values

_PLACE_MM = 0.25


@dataclass(frozen=True, slots=True, eq=False)
class CheckedPair:
    """Two images of one scene.

    Parameters
    ----------
    name : str
        For messages and records.
    pair : Pair
        Where they come from.
    noisy, partner : ndarray of shape (rows, columns), float32
        In HU or fractions of the full range.
    noise_sd : float
        Standard deviation of the noise of one image: in soft tissue for HU, over the whole image
        otherwise; from the difference of both, which for a clean partner is all noise of the noisy
        one, and else that of two images.
    shift : pair of float, optional
        Rows and columns by which the partner is shifted; None where nothing tells.
    """

    name: str
    pair: Pair
    noisy: Floats
    partner: Floats
    noise_sd: float
    shift: tuple[float, float] | None

    @property
    def shift_px(self) -> float | None:
        """Length of the shift in pixels."""
        return None if self.shift is None else float(np.hypot(*self.shift))


@dataclass(slots=True)
class Tally:
    """What was kept and what was not, and why.

    Parameters
    ----------
    kept : int
        Pairs of slices that passed.
    empty : int
        Pairs of which both sides are one even grey: nothing to learn, nothing wrong.
    untold : int
        Pairs in which nothing tells a shift.
    largest_shift : float
        Of those kept, in pixels.
    refused : list of str
        A line for every pair that was refused, with the reason.
    """

    kept: int = 0
    empty: int = 0
    untold: int = 0
    largest_shift: float = 0.0
    refused: list[str] = field(default_factory=list)

    def require(self, section: PairsData) -> None:
        """Make sure that enough was kept.

        Raises
        ------
        DataError
            If nothing was, or more was refused than the section allows.
        """
        every = self.kept + len(self.refused)
        if self.refused and (not self.kept or len(self.refused) > section.most_refused * every):
            raise DataError(
                f"{len(self.refused)} of {every} pairs are refused: {some(self.refused)}; register "
                "them, take them out, or raise data.largest_shift or data.most_refused"
            )
        if not self.kept:
            raise DataError(
                f"all {self.empty} pairs are one even grey on both sides: nothing to train on"
            )


def check_pairs(
    section: PairsData,
    units: Units,
    pairs: Sequence[Pair],
    tally: Tally,
    told: Told = nobody,
    *,
    slices: int | None = None,
) -> Iterator[CheckedPair]:
    """Read pairs, and give those that fit together.

    Parameters
    ----------
    section : PairsData
        What is refused, and what stored numbers mean.
    units : {"HU", "stored"}
        Of the values.
    pairs : sequence of Pair
        What to read.
    tally : Tally
        Is told what becomes of every pair.
    told : callable
        Is told how far this is.
    slices : int, optional
        Of volumes only so many slices, evenly spread.

    Raises
    ------
    DataError
        If a file cannot be read, or partners cannot be of one scene: other sizes, spacing or
        places, or the same values.
    """
    scale = Scale(units, section.slope, section.offset, section.dataset)
    for index, pair in enumerate(pairs):
        for slice_ in _slices(pair, scale, slices):
            found = _checked(section, units, slice_, tally)
            if found is not None:
                yield found
        told("reading pairs", index + 1, len(pairs))


def _slices(
    pair: Pair, scale: Scale, most: int | None
) -> Iterator[tuple[Pair, str, Floats, Floats]]:
    """The slices of both files, after what files can tell has been compared."""
    noisy, one = read_values(pair.noisy, scale, pair.slice)
    partner, other = read_values(pair.partner, scale, pair.slice)
    if noisy.shape != partner.shape:
        sizes = " and ".join(" x ".join(map(str, _size(image))) for image in (noisy, partner))
        raise DataError(f"{pair.name}: of different sizes, {sizes}; pairs must show the same")
    _same_place(pair, one, other)
    count = len(noisy)
    several = count > 1
    chosen = min(count, most or count)
    for part in range(chosen):
        index = int((part + 0.5) * count / chosen)
        name = f"{pair.name}, slice {index}" if several else pair.name
        yield pair, name, noisy[index], partner[index]


def _size(values: Floats) -> tuple[int, ...]:
    return values.shape[1:] if len(values) == 1 else values.shape


def _same_place(pair: Pair, one: Slices, other: Slices) -> None:
    if one.pixel_mm is not None and other.pixel_mm is not None:
        limit = SPACING * max(one.pixel_mm)
        if not np.allclose(one.pixel_mm, other.pixel_mm, rtol=0, atol=limit):
            first, second = (
                " x ".join(f"{value:g}" for value in mm) for mm in (one.pixel_mm, other.pixel_mm)
            )
            raise DataError(
                f"{pair.name}: of different pixel spacing, {first} mm and {second} mm; reconstruct "
                "both alike, or take the pair out"
            )
    if one.place is None or other.place is None or one.place.shape != other.place.shape:
        return
    if not np.allclose(one.place, other.place, rtol=0, atol=_PLACE_MM):
        raise DataError(
            f"{pair.name}: lie at different places (Image Position of DICOM, affine of NIfTI); "
            "resample one to the other, or take the pair out"
        )


def _checked(
    section: PairsData, units: Units, slices: tuple[Pair, str, Floats, Floats], tally: Tally
) -> CheckedPair | None:
    pair, name, noisy, partner = slices
    if np.array_equal(noisy, partner):
        if np.ptp(noisy) == 0:
            tally.empty += 1
            return None
        raise DataError(f"{name}: the same values on both sides of a pair; one side is a copy")
    shift = shift_between(noisy, partner)
    if shift is None and unrelated(noisy, partner):
        tally.refused.append(f"{name} (no shift fits: two different scenes?)")
        return None
    if shift is not None and np.hypot(*shift) > section.largest_shift:
        rows, columns = shift
        tally.refused.append(f"{name} (shifted by {rows:.2f} rows and {columns:.2f} columns)")
        return None
    found = CheckedPair(name, pair, noisy, partner, _noise(section, units, noisy, partner), shift)
    tally.kept += 1
    tally.untold += shift is None
    tally.largest_shift = max(tally.largest_shift, found.shift_px or 0.0)
    return found


def _noise(section: PairsData, units: Units, noisy: Floats, partner: Floats) -> float:
    difference = noisy - partner
    if units == "HU":
        difference = difference[soft_tissue(partner)]
    deviation = float(difference.std(dtype=np.float64))
    return deviation / 2**0.5 if section.target == "noisy" else deviation

"""Pictures of held-out images before and after a model version, as PNG data URIs.

Every picture is a crop without interpolation, one pixel of the image to one or to two by two of
the page, so that grain is shown as it is.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Picture

from model_store.evaluation.lpips import Lpips
from model_store.evaluation.report import cases_of
from model_store.evaluation.session import MeasuredModel
from model_store.evaluation.trial import Case
from model_store.training.recipe import CtData, Recipe
from model_store.window import Window

Floats = NDArray[np.float32]

SIDE = 304
"""Side of a picture on the page, in pixels."""

_SCALES = (1.0, 2.0, 2.5, 5.0)
_SPREAD = 3.0
_BLOCK = 16
_AERATED = (-930.0, -700.0)
_MOSTLY = 0.5
_ENLARGED = 2

SOFT_TISSUE = Window("soft tissue, W 400 L 40 HU", 40.0, 400.0)
LUNG = Window("lung, W 1500 L \N{MINUS SIGN}600 HU", -600.0, 1500.0)


@dataclass(frozen=True, slots=True)
class Panel:
    """One picture.

    Parameters
    ----------
    title, note : str
        What it is, and its numbers.
    uri : str
        ``data:image/png``.
    """

    title: str
    note: str
    uri: str


@dataclass(frozen=True, slots=True)
class Row:
    """Pictures of one crop side by side.

    Parameters
    ----------
    title : str
        Window and scale.
    panels : tuple of Panel
        Input, denoised, reference, difference.
    """

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class CasePictures:
    """All pictures of one image.

    Parameters
    ----------
    title : str
        Group and name of the case.
    rows : tuple of Row
        Its crops.
    """

    title: str
    rows: tuple[Row, ...]


def picture_cases(
    cases: Iterable[Case], model: MeasuredModel, *, units: str, limit: int = 3
) -> list[CasePictures]:
    """Denoise a few cases of different groups and, as far as there are such, images.

    Parameters
    ----------
    cases : iterable of Case
        Held-out images; taken from only until there are enough.
    model : MeasuredModel
        The model version.
    units : {"HU", "stored"}
        Of the values; decides about the windows.
    limit : int
        How many cases.
    """
    return [
        pictures_of(case, model(case.noisy, beyond=case.beyond), units=units)
        for case in _chosen(cases, limit)
    ]


def _chosen(cases: Iterable[Case], limit: int) -> list[Case]:
    """Cases of different groups and images; then of different groups, then of images."""
    chosen: list[Case] = []
    others: list[Case] = []
    for case in cases:
        (chosen if _is_new(case, chosen, "group", "name") else others).append(case)
        if len(chosen) == limit:
            return chosen
    for fields in (("group",), ("name",)):
        for case in others:
            if len(chosen) < limit and _is_new(case, chosen, *fields):
                chosen.append(case)
    return chosen


def _is_new(case: Case, chosen: Iterable[Case], *fields: str) -> bool:
    return all(getattr(case, key) != getattr(other, key) for other in chosen for key in fields)


def held_out_cases(recipe: Recipe, data: Path, weights: Path | None = None) -> Iterator[Case]:
    """Images that a recipe held out, with the noise that its model is for.

    Parameters
    ----------
    recipe : Recipe
        Of the version.
    data : Path
        Folder that the recipe's held-out folders and files are below.
    weights : Path, optional
        Folder of the weights of LPIPS; without it there is no perceptual distance.

    Raises
    ------
    DataError
        If held-out data or weights are missing or unreadable.
    """
    perceptual = None if weights is None else Lpips(weights)
    return cases_of(recipe, data, perceptual, quick=isinstance(recipe.data, CtData))


def pictures_of(case: Case, denoised: Floats, *, units: str) -> CasePictures:
    """Crops of one case: one to one, two to one, and where there is lung in the lung window.

    Parameters
    ----------
    case : Case
        Noisy image and reference.
    denoised : ndarray of shape (rows, columns)
        The model's output for the noisy image.
    units : {"HU", "stored"}
        Of the values.
    """
    wide, detail = replace(case, size=SIDE), replace(case, size=SIDE // _ENLARGED)
    hounsfield = units == "HU"
    window = SOFT_TISSUE if hounsfield else percentile_window(wide.crop(case.reference))
    rows = [
        _row(wide, denoised, window, units, numbers=True),
        _row(detail, denoised, window, units),
    ]
    if hounsfield and (place := lung_place(case.reference, detail.size)) is not None:
        rows.append(_row(replace(detail, centre=place), denoised, LUNG, units))
    return CasePictures(f"{case.group}: {case.name}", tuple(rows))


def percentile_window(values: Floats) -> Window:
    """Window from the 0.5th to the 99.5th percentile."""
    low, high = (float(value) for value in np.percentile(values, (0.5, 99.5)))
    name = f"0.5th to 99.5th percentile of the reference, {low:.2f} to {high:.2f}"
    return Window(name, (low + high) / 2, max(high - low, 1e-6))


def lung_place(reference: Floats, side: int) -> tuple[int, int] | None:
    """Centre of the square of `side` pixels with most aerated lung; None if that is little.

    Parameters
    ----------
    reference : ndarray of shape (rows, columns)
        In HU.
    side : int
        At least 16.
    """
    rows, columns = (length // _BLOCK for length in reference.shape)
    blocks = reference[: rows * _BLOCK, : columns * _BLOCK]
    middle = np.median(blocks.reshape(rows, _BLOCK, columns, _BLOCK), axis=(1, 3))
    lung = (middle > _AERATED[0]) & (middle < _AERATED[1])
    count = min(side // _BLOCK, rows, columns)
    table = np.pad(lung.astype(np.int64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    sums = table[count:, count:] - table[:-count, count:]
    sums = sums - table[count:, :-count] + table[:-count, :-count]
    row, column = np.unravel_index(int(sums.argmax()), sums.shape)
    if sums[row, column] < _MOSTLY * count * count:
        return None
    half = count * _BLOCK // 2
    return int(row) * _BLOCK + half, int(column) * _BLOCK + half


def difference_scale(difference: Floats) -> float:
    """Round number at which three standard deviations of a difference are black and white."""
    spread = max(_SPREAD * float(np.std(difference)), 1e-6)
    power = 10.0 ** np.floor(np.log10(spread))
    steps = [scale * power for scale in (*_SCALES, 10.0)]
    return float(next(step for step in steps if step >= spread * (1 - 1e-9)))


def _row(case: Case, denoised: Floats, window: Window, units: str, *, numbers: bool = False) -> Row:
    noisy, after, reference = (case.crop(image) for image in (case.noisy, denoised, case.reference))
    difference = after - noisy
    scale = difference_scale(difference)
    unit = "HU" if units == "HU" else "of the range"
    grain = Window("difference", 0.0, 2 * scale)
    before_text, after_text = (
        _numbers(case, image, noisy, reference) if numbers else "" for image in (noisy, after)
    )
    size = reference.shape[0]
    enlarged = max(1, min(_ENLARGED, SIDE // size))
    how = "1 : 1" if enlarged == 1 else f"{enlarged} : 1, nearest neighbour"
    sign = "\N{MINUS SIGN}"
    pixels = (
        ("Input", before_text, window.linear_exact(noisy)),
        ("Denoised", after_text, window.linear_exact(after)),
        ("Reference", "", window.linear_exact(reference)),
        (
            "Denoised less input",
            f"black {sign}{scale:g}, white +{scale:g} {unit}",
            grain.linear_exact(difference),
        ),
    )
    return Row(
        f"{window.name}; {size} x {reference.shape[1]} pixels, {how}",
        tuple(Panel(title, note, _uri(grey, enlarged)) for title, note, grey in pixels),
    )


def _numbers(case: Case, image: Floats, noisy: Floats, reference: Floats) -> str:
    found: Mapping[str, float] = case.score(image, reference)
    if case.facts is not None:
        found = {**found, **case.facts(image, noisy, reference)}
    shown = ((name, value) for name, value in found.items() if np.isfinite(value))
    return ", ".join(f"{name} {_digits(name, value)}" for name, value in shown)


def _digits(name: str, value: float) -> str:
    text = f"{value:.3f}" if name.startswith(("SSIM", "PDR")) else f"{value:.1f}"
    return ("0" + text.lstrip("-0") if float(text) == 0 else text).replace("-", "\N{MINUS SIGN}")


def _uri(grey: NDArray[np.uint8], enlarged: int) -> str:
    stream = BytesIO()
    picture = Picture.fromarray(grey)
    if enlarged > 1:
        size = (grey.shape[1] * enlarged, grey.shape[0] * enlarged)
        picture = picture.resize(size, Picture.Resampling.NEAREST)
    picture.save(stream, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()

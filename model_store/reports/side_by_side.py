"""One picture of an image through several networks and filters, beside its reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from model_store.evaluation.arms import Arm
from model_store.evaluation.filter_file import FilterFile
from model_store.evaluation.filters import apply_filter
from model_store.evaluation.groups import NAMES
from model_store.evaluation.trial import Case
from model_store.reports.pictures import SOFT_TISSUE, percentile_window

Floats = NDArray[np.float32]

_SIDE = 228
_ENLARGED = 3
_TITLE, _FOOT, _GAP = 22, 40, 10
_COLUMNS = 6
_INK, _FAINT, _PAPER, _RING = (23, 32, 42), (91, 104, 117), (255, 255, 255), (179, 38, 30)
_EDGES = 2.0


@dataclass(frozen=True, slots=True)
class Tile:
    """One column of the picture.

    Parameters
    ----------
    title : str
        Whose output it is.
    image : ndarray of shape (rows, columns)
        The scored crop, in the model's units.
    """

    title: str
    image: Floats


def tiles_of(case: Case, arms: Sequence[Arm], filters: FilterFile | None) -> list[Tile]:
    """Input, filters at their best setting for the case's main metric, arms, and the reference.

    Parameters
    ----------
    case : Case
        Noisy image and reference.
    arms : sequence of Arm
        Networks whose noise is that of the case.
    filters : FilterFile, optional
        Scores of the filters; without it there are none.
    """
    case = replace(case, size=min(_SIDE, *case.reference.shape))
    noisy, reference = case.crop(case.noisy), case.crop(case.reference)
    tiles = [Tile("input", noisy)]
    if filters is not None:
        deviation = float((noisy - reference).std())
        for family, grid in filters.of(case).items():
            best = max(grid, key=lambda setting: grid[setting][case.main])
            tiles.append(
                Tile(NAMES.get(family, family), apply_filter(family, best, noisy, deviation))
            )
    for arm in arms:
        tiles.append(Tile(arm.name, case.crop(arm.model(case.noisy, beyond=case.beyond))))
    return [*tiles, Tile("reference", reference)]


def side_by_side(case: Case, tiles: Sequence[Tile], *, units: str) -> Image.Image:
    """Tiles in rows: one pixel to one, and below each a detail of it enlarged three times.

    Parameters
    ----------
    case : Case
        Of the tiles; scores them.
    tiles : sequence of Tile
        As of `tiles_of`, the reference last.
    units : {"HU", "stored"}
        Of the values; decides about the window.
    """
    reference = tiles[-1].image
    window = SOFT_TISSUE if units == "HU" else percentile_window(reference)
    rows, columns = reference.shape
    detail = _detail(reference)
    width, height = columns + _GAP, _TITLE + 2 * rows + _GAP // 2 + _FOOT
    across = min(_COLUMNS, len(tiles))
    down = -(-len(tiles) // across)
    sheet = Image.new("RGB", (across * width + _GAP, down * height + _TITLE + _GAP), _PAPER)
    draw = ImageDraw.Draw(sheet)
    for index, tile in enumerate(tiles):
        left, top = _GAP + index % across * width, _GAP // 2 + index // across * height
        draw.text((left, top), _fitting(tile.title, columns), _INK, _font(14))
        top += _TITLE
        sheet.paste(Image.fromarray(window.linear_exact(tile.image)), (left, top))
        row, column, side = detail
        box = (left + column, top + row, left + column + side, top + row + side)
        draw.rectangle(box, outline=_RING)
        top += rows + _GAP // 2
        cut = tile.image[row : row + side, column : column + side]
        enlarged = Image.fromarray(window.linear_exact(cut)).resize(
            (side * _ENLARGED, side * _ENLARGED), Image.Resampling.NEAREST
        )
        sheet.paste(enlarged.crop((0, 0, columns, rows)), (left, top))
        if tile is not tiles[-1]:
            for line, text in enumerate(_numbers(case, tile.image, reference)):
                place = (left, top + rows + 3 + 16 * line)
                draw.text(place, text, _FAINT, _font(12))
    said = f"{case.group}: {case.name}. Window: {window.name}. Below: the square, {_ENLARGED} : 1."
    draw.text((_GAP, down * height + _GAP // 2), said, _FAINT, _font(12))
    return sheet


def _detail(reference: Floats) -> tuple[int, int, int]:
    """First row, first column and side of the square with most structure."""
    side = min(reference.shape) // _ENLARGED
    energy = ndimage.gaussian_gradient_magnitude(reference, _EDGES)
    energy = np.minimum(energy, np.percentile(energy, 95))
    sums = ndimage.uniform_filter(energy, side, mode="constant")
    half = side // 2
    inner = sums[half : sums.shape[0] - side + half + 1, half : sums.shape[1] - side + half + 1]
    row, column = np.unravel_index(int(inner.argmax()), inner.shape)
    return int(row), int(column), side


def _numbers(case: Case, image: Floats, reference: Floats) -> list[str]:
    scores = case.score(image, reference)
    names = [case.main, *(name for name in scores if name.startswith(("SSIM", "PDR")))]
    texts = [f"{name.split()[0]} {scores[name]:.{2 if 'PSNR' in name else 3}f}" for name in names]
    return [texts[0], ", ".join(texts[1:])]


def _fitting(text: str, width: int) -> str:
    font = _font(14)
    while len(text) > 1 and font.getlength(text) > width:
        text = text[:-2] + "\N{HORIZONTAL ELLIPSIS}"
    return text


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def write_picture(
    path: Path, case: Case, arms: Sequence[Arm], filters: FilterFile | None, units: str
) -> None:
    """Write the picture as PNG."""
    side_by_side(case, tiles_of(case, arms, filters), units=units).save(path, optimize=True)

"""Pictures of an image before and after: at a window, enlarged, and the difference."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from io import BytesIO

import numpy as np
import numpy.typing as npt
from PIL import Image as Picture
from pydicom import Dataset
from pydicom.multival import MultiValue

from model_store.window import Window

Image = npt.NDArray[np.float32]
"""``[H, W]`` in HU or grey levels, larger is brighter."""

_SCALES = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0)
_SPREAD = 4.0
_SOFT = (0.0, 100.0)
_AERATED, _VESSEL_SD = (-930.0, -700.0), 250.0
_WELL_SHOWN, _NEARLY_CLIPPED = 0.4, 0.45
_STEP = 16
_BLOCK = 16

LUNG = Window("lung window", -600.0, 1500.0)
SOFT_TISSUE = Window("soft-tissue window", 40.0, 400.0)


@dataclass(frozen=True, slots=True)
class Box:
    """A part of an image: first row and column, rows and columns."""

    row: int
    column: int
    rows: int
    columns: int

    def of(self, image: Image) -> Image:
        """Cut it out."""
        return image[self.row : self.row + self.rows, self.column : self.column + self.columns]


@dataclass(frozen=True, slots=True)
class View:
    """One row of three pictures.

    Parameters
    ----------
    title, note : str
        What is shown, and what to know when judging it.
    before, after, difference : bytes
        PNG.
    scale : float
        The difference is black at minus this and white at plus this, image units.
    unit : str
        ``HU`` or ``grey levels``.
    """

    title: str
    note: str
    before: bytes
    after: bytes
    difference: bytes
    scale: float
    unit: str

    @property
    def uris(self) -> tuple[str, str, str]:
        """The three pictures as ``data:`` URIs."""
        before, after, difference = map(_uri, (self.before, self.after, self.difference))
        return before, after, difference


def display_window(dataset: Dataset, image: Image) -> Window:
    """Return the window that the object asks for, or one from its percentiles.

    A window that spans the whole stored range says nothing; it is replaced, too.
    """
    centre, width = (dataset.get(k) for k in ("WindowCenter", "WindowWidth"))
    if isinstance(centre, MultiValue):
        centre = centre[0]
    if isinstance(width, MultiValue):
        width = width[0]
    full = 2.0 ** int(dataset.BitsStored)
    if centre not in (None, "") and width not in (None, "") and 1 <= float(width) < full:
        return Window("window of the object", float(centre), float(width))
    return percentile_window(image, full)


def percentile_window(image: Image, full: float) -> Window:
    """The window from the 1st to the 99.5th percentile; of an image without any, all of `full`."""
    exposed = image[(image > image.min()) & (image < image.max())]
    if not exposed.size:
        return Window("full range", full / 2, full)
    low, high = np.percentile(exposed, (1.0, 99.5))
    return Window("1st to 99.5th percentile", float(low + high) / 2, float(max(high - low, 1.0)))


def difference_scale(difference: Image) -> float:
    """Return the round number that shows most of a difference without clipping."""
    spread = float(np.std(difference)) * _SPREAD
    return next((scale for scale in _SCALES if scale >= spread), _SCALES[-1])


def common_scale(rows: Iterable[tuple[Image, Image]], side: int) -> float:
    """Return the scale on which the differences of several rows can be compared.

    Parameters
    ----------
    rows : iterable of pairs of numpy.ndarray
        Before and after, of each row.
    side : int
        Of the pictures, as in `view`.
    """
    return max(difference_scale(_sized(after - before, side)) for before, after in rows)


def view(
    title: str,
    before: Image,
    after: Image,
    window: Window,
    unit: str,
    *,
    side: int,
    note: str = "",
    scale: float | None = None,
) -> View:
    """Make a row of pictures whose longer side is `side` pixels.

    Values are resized before they are windowed: bicubic where they are enlarged, as viewers do;
    averaged where they are shrunk. The difference is black at minus `scale` and white at plus
    `scale`; without one, its own is taken (`difference_scale`).
    """
    first, second = _sized(before, side), _sized(after, side)
    difference = _sized(after - before, side)
    scale = difference_scale(difference) if scale is None else scale
    grain = Window("difference", 0.5, 2 * scale + 1)
    return View(
        title=title,
        note=note,
        before=_png(window.linear(first)),
        after=_png(window.linear(second)),
        difference=_png(grain.linear(difference)),
        scale=scale,
        unit=unit,
    )


def soft_tissue_box(image: Image, side: int) -> tuple[Box, float]:
    """Find the square with most soft tissue (0 to 100 HU), and the part of it that is.

    Parameters
    ----------
    image : numpy.ndarray
        ``[H, W]`` HU.
    side : int
        Side of the square, pixels.
    """
    return _best_box((image > _SOFT[0]) & (image < _SOFT[1]), side)


def detailed_box(image: Image, window: Window, side: int) -> Box:
    """Find the square of a radiograph with most structure, well inside the window.

    Parameters
    ----------
    image : numpy.ndarray
        ``[H, W]``.
    window : Window
        What is shown; what it would clip does not count.
    side : int
        Side of the square, pixels.
    """
    mean = (_blocks(image).mean((1, 3)) - window.centre) / window.width
    gradient = np.hypot(*np.gradient(mean))
    offset = np.abs(mean)
    useful = np.clip(gradient, 0.01, 0.05) * (offset < _WELL_SHOWN)
    useful -= 0.05 * (offset >= _NEARLY_CLIPPED)
    return _box_of_blocks(useful, image, side)


def lung_box(image: Image, side: int) -> Box:
    """Find the square with most vessels inside lung.

    Parameters
    ----------
    image : numpy.ndarray
        ``[H, W]`` HU.
    side : int
        Side of the square, pixels.
    """
    blocks = _blocks(image)
    middle = np.median(blocks, axis=(1, 3))  # of air outside the body it is lower
    lung = (middle > _AERATED[0]) & (middle < _AERATED[1])
    return _box_of_blocks(np.minimum(blocks.std((1, 3)), _VESSEL_SD) * lung, image, side)


def _blocks(image: Image) -> Image:
    """Cut into blocks of 16 x 16: ``[rows, 16, columns, 16]``; what is left over is not used."""
    rows, columns = (size // _BLOCK for size in image.shape)
    return image[: rows * _BLOCK, : columns * _BLOCK].reshape(rows, _BLOCK, columns, _BLOCK)


def _box_of_blocks(worth: Image, image: Image, side: int) -> Box:
    coarse, _ = _best_box(worth, max(1, side // _BLOCK), step=1)
    return Box(
        min(coarse.row * _BLOCK, max(0, image.shape[0] - side)),
        min(coarse.column * _BLOCK, max(0, image.shape[1] - side)),
        min(side, image.shape[0]),
        min(side, image.shape[1]),
    )


def _best_box(
    worth: npt.NDArray[np.bool_] | Image, side: int, step: int = _STEP
) -> tuple[Box, float]:
    """Square with the greatest sum of `worth`, by a summed-area table; its mean worth."""
    rows, columns = (min(side, size) for size in worth.shape)
    table = np.zeros((worth.shape[0] + 1, worth.shape[1] + 1))
    table[1:, 1:] = worth.astype(np.float64).cumsum(0).cumsum(1)
    sums = (
        table[rows:, columns:]
        - table[:-rows, columns:]
        - table[rows:, :-columns]
        + table[:-rows, :-columns]
    )[::step, ::step]
    row, column = np.unravel_index(int(sums.argmax()), sums.shape)
    box = Box(int(row) * step, int(column) * step, rows, columns)
    return box, float(sums.max()) / (rows * columns)


def _sized(image: Image, side: int) -> Image:
    """Resize so that the longer side is `side` pixels, float32 in and out."""
    factor = side / max(image.shape)
    if factor == 1:
        return image
    size = (max(1, round(image.shape[1] * factor)), max(1, round(image.shape[0] * factor)))
    how = Picture.Resampling.BOX if factor < 1 else Picture.Resampling.BICUBIC
    picture = Picture.fromarray(np.ascontiguousarray(image, np.float32))
    return np.asarray(picture.resize(size, how), np.float32)


def _png(pixels: npt.NDArray[np.uint8]) -> bytes:
    out = BytesIO()
    Picture.fromarray(pixels).save(out, "PNG", compress_level=6)
    return out.getvalue()


def _uri(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()

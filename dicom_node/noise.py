"""How noisy an image is, measured the same way and in the same places before and after."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.floating]

METHOD = (
    "Standard deviation inside small square windows after a plane was fitted to each and "
    "subtracted; median over the windows of the series. The windows are those with the least "
    "structure (gradient and curvature of the average of before and after) {where}; they are the "
    "same before and after."
)
_FLATTEST = 0.25


@dataclass(frozen=True, slots=True)
class Region:
    """Where noise is measured.

    Parameters
    ----------
    window : int
        Side of a window in pixels.
    minimum, maximum : float
        Range of the mean of a window, in image units.
    where : str
        The same in words, for the report.
    """

    window: int
    minimum: float
    maximum: float
    where: str

    @property
    def method(self) -> str:
        """The whole method in words."""
        return f"{METHOD.format(where=self.where)} Window: {self.window} x {self.window} pixels."


SOFT_TISSUE = Region(9, -20.0, 100.0, "and a mean of -20 to 100 HU (soft tissue)")


def exposed(stored_maximum: float) -> Region:
    """Return the region for a radiograph: neither at the ends of its range nor uniform.

    Parameters
    ----------
    stored_maximum : float
        Largest stored value, ``2**BitsStored - 1``.
    """
    return Region(
        15,
        0.02 * stored_maximum,
        0.98 * stored_maximum,
        "and a mean of 2 to 98 % of the stored range (neither collimated nor saturated)",
    )


@dataclass(frozen=True, slots=True)
class Noise:
    """Noise of a series before and after.

    Parameters
    ----------
    before, after : float
        Standard deviation in image units.
    shift : float
        Median over the windows of the mean after minus the mean before, image units: whether
        denoising changes values where nothing but noise should change.
    windows : int
        Number of windows; 0 where nothing could be measured (then the rest is NaN).
    """

    before: float
    after: float
    shift: float
    windows: int

    @property
    def reduction(self) -> float:
        """Part of the standard deviation that is gone, 0 to 1 (negative: it grew)."""
        return 1.0 - self.after / self.before if self.before else float("nan")


@dataclass(frozen=True, slots=True)
class Levels:
    """Noise of several images of one scene, measured in the same windows.

    Parameters
    ----------
    sd : tuple of float
        Standard deviation of each, image units.
    shift : tuple of float
        Of each, the median over the windows of its mean minus that of the reference, image units.
    windows : int
        Number of windows; 0 where nothing could be measured (then the rest is NaN).
    """

    sd: tuple[float, ...]
    shift: tuple[float, ...]
    windows: int


def measure(pairs: Iterable[tuple[Pixels, Pixels]], region: Region) -> Noise:
    """Measure the noise of images of one series.

    Parameters
    ----------
    pairs : iterable of (numpy.ndarray, numpy.ndarray)
        Before and after, ``[H, W]`` of the same shape, image units (HU or stored values).
    region : Region
        Where to measure.
    """
    found = levels(pairs, region, count=2)
    before, after = found.sd
    return Noise(before, after, found.shift[1], found.windows)


def levels(
    scenes: Iterable[Sequence[Pixels]], region: Region, *, count: int, reference: int = 0
) -> Levels:
    """Measure the noise of several images of the same scenes, each in the same windows.

    The windows are those with the least structure in the average of all images of a scene, whose
    mean is in the region in the first of them.

    Parameters
    ----------
    scenes : iterable of sequences of numpy.ndarray
        `count` images of each scene, ``[H, W]`` of the same shape, image units.
    region : Region
        Where to measure.
    count : int
        Images of each scene.
    reference : int
        Which of the images shifts are counted from.
    """
    parts = [_windows(images, region, reference) for images in scenes]
    table = np.concatenate(parts) if parts else np.empty((0, 1))
    if not len(table):
        nothing = (float("nan"),) * count
        return Levels(nothing, nothing, 0)
    kept = table[table[:, 0] <= np.quantile(table[:, 0], _FLATTEST)]
    medians = [float(value) for value in np.median(kept[:, 1:], axis=0)]
    return Levels(tuple(medians[:count]), tuple(medians[count:]), len(kept))


def _windows(images: Sequence[Pixels], region: Region, reference: int) -> npt.NDArray[np.float64]:
    """Return ``[n, 1 + 2 * images]``: structure, SD of each, shift of the mean of each."""
    blocks = [_blocks(image, region.window) for image in images]
    first = blocks[0]
    mean = first.mean(1)
    inside = (mean >= region.minimum) & (mean <= region.maximum)
    inside &= first.max(1) > first.min(1)
    blocks = [block[inside] for block in blocks]
    basis = _basis(region.window)
    slopes = (sum(blocks) / len(blocks)) @ basis[:, 1:]
    start = blocks[reference].mean(1)
    return np.column_stack(
        [
            np.sqrt((slopes**2).sum(1)),
            *(_residual_sd(block, basis[:, :3]) for block in blocks),
            *(block.mean(1) - start for block in blocks),
        ]
    )


def _blocks(image: Pixels, side: int) -> npt.NDArray[np.float64]:
    """Cut into windows side by side: ``[n, side * side]``; what is left over is not used."""
    rows, columns = image.shape[0] // side, image.shape[1] // side
    cut = image[: rows * side, : columns * side].astype(np.float64)
    return cut.reshape(rows, side, columns, side).swapaxes(1, 2).reshape(-1, side * side)


def _basis(side: int) -> npt.NDArray[np.float64]:
    """Orthonormal polynomials of a window, ``[side * side, 6]``: constant, plane, quadratic."""
    y, x = (axis.ravel() for axis in np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j])
    basis, _ = np.linalg.qr(np.column_stack([np.ones_like(x), x, y, x * x, x * y, y * y]))
    return np.asarray(basis, np.float64)


def _residual_sd(
    windows: npt.NDArray[np.float64], plane: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Standard deviation of each window about its fitted plane."""
    centred = windows - windows.mean(1, keepdims=True)
    left = (centred**2).sum(1) - ((centred @ plane) ** 2).sum(1)
    sd: npt.NDArray[np.float64] = np.sqrt(np.maximum(left, 0.0) / (windows.shape[1] - 3))
    return sd

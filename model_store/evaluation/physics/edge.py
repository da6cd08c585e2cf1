"""Task transfer function (TTF) of a circular edge.

After AAPM Task Group 233 (Samei et al. 2019): the pixels around a rod are sorted by their distance
from its centre into an oversampled edge spread function, whose derivative is the line spread
function, whose Fourier transform is the TTF. A denoiser's depends on contrast, so each rod has its
own, and images are averaged over realisations of the noise before.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import signal

Doubles = NDArray[np.float64]

_BIN = 0.1
_LENGTH = 4096


@dataclass(frozen=True, slots=True)
class TransferFunction:
    """A task transfer function.

    Parameters
    ----------
    frequency : ndarray of shape (n,)
        Per millimetre, from zero.
    value : ndarray of shape (n,)
        Modulation, 1 at frequency zero.
    """

    frequency: Doubles
    value: Doubles

    def at_level(self, level: float) -> float | None:
        """Lowest frequency at which the modulation falls to `level`; None if it never does."""
        below = np.flatnonzero(self.value < level)
        if not len(below) or below[0] == 0:
            return None
        last = int(below[0])
        high, low = self.value[last - 1], self.value[last]
        part = (high - level) / (high - low)
        step = self.frequency[last] - self.frequency[last - 1]
        return float(self.frequency[last - 1] + part * step)


def edge_spread(
    image: NDArray[np.floating], centre: tuple[float, float], inner: float, outer: float
) -> tuple[Doubles, Doubles]:
    """Mean over rings of a tenth of a pixel around `centre`.

    Parameters
    ----------
    image : ndarray of shape (rows, columns)
        In HU.
    centre : tuple of float
        Row and column of the rod's centre, in pixels.
    inner, outer : float
        Smallest and largest distance, in pixels.

    Returns
    -------
    tuple of ndarray
        Distances in pixels and values in HU; rings without a pixel are interpolated.
    """
    top, left = (max(int(middle - outer) - 1, 0) for middle in centre)
    part = image[top : int(centre[0] + outer) + 2, left : int(centre[1] + outer) + 2]
    row = np.arange(part.shape[0])[:, None] + top - centre[0]
    column = np.arange(part.shape[1])[None, :] + left - centre[1]
    place = ((np.hypot(row, column) - inner) / _BIN).ravel()
    bins = round((outer - inner) / _BIN)
    inside = (place >= 0) & (place < bins)
    index = place[inside].astype(int)
    count = np.bincount(index, minlength=bins)
    total = np.bincount(index, part.ravel()[inside], minlength=bins)
    # where the pixels of a ring really lie, which is not always its middle
    radius = np.bincount(index, place[inside], minlength=bins) / np.maximum(count, 1)
    middle = np.arange(bins) + 0.5
    full = count > 0
    values = np.interp(middle, radius[full], total[full] / count[full])
    return np.asarray(inner + middle * _BIN, np.float64), np.asarray(values, np.float64)


def transfer(
    image: NDArray[np.floating],
    centre: tuple[float, float],
    radius: float,
    pixel_mm: float,
    reach: float = 12.0,
) -> TransferFunction:
    """TTF of the edge of a rod.

    Parameters
    ----------
    image : ndarray of shape (rows, columns)
        In HU; best the mean over realisations of the noise.
    centre : tuple of float
        Row and column of the rod's centre, in pixels.
    radius : float
        Of the rod, in pixels.
    pixel_mm : float
        Pixel spacing in millimetres.
    reach : float
        How far to both sides of the edge the line spread function is kept, in pixels; its outer
        quarters are tapered.
    """
    reach = min(reach, radius - 1)
    _, values = edge_spread(image, centre, radius - reach, radius + reach)
    line = np.diff(values)
    line *= signal.windows.tukey(len(line), 0.5)
    spectrum = np.abs(np.fft.rfft(line, _LENGTH))
    frequency = np.fft.rfftfreq(_LENGTH, d=_BIN)
    modulation = spectrum / max(float(spectrum[0]), 1e-12)
    modulation /= np.sinc(frequency * _BIN) ** 2  # rings and their differences
    keep = frequency <= 1.0
    per_mm = np.asarray(frequency[keep] / pixel_mm, np.float64)
    return TransferFunction(per_mm, np.asarray(modulation[keep], np.float64))

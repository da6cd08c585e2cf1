"""How far one image of a pair is shifted against the other: phase correlation, to sub-pixels.

The cross-power spectrum of two images that differ by a shift has a phase that is linear in
frequency (Kuglin and Hines 1975). It is weighted by a Gaussian, since the finest frequencies of a
noisy pair are noise, so that the peak is a Gaussian too: a parabola through the logarithm of three
of its values finds its middle.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from model_store.training.patches import Floats

_BAND = 0.08
"""Standard deviation of the weight, in cycles per pixel."""

_CLEAR = 9.0
"""How many times its spread a surface is high at a peak that means something; noise reaches 8."""

_MOST = 1024
"""Rows and columns in the middle that are looked at; a shift of the whole is the same there."""

_SMOOTH = 3.0
_STRUCTURED = 5.0
_RELATED = 0.5


def shift_between(one: Floats, other: Floats) -> tuple[float, float] | None:
    """Rows and columns by which `other` is shifted against `one`.

    Parameters
    ----------
    one, other : ndarray of shape (rows, columns)
        Images of the same size.

    Returns
    -------
    tuple of float, or None
        In pixels, positive down and to the right; None if nothing in the images tells, as in
        two images of even grey.
    """
    one, other = _central(one), _central(other)
    cross = np.conj(_spectrum(one)) * _spectrum(other)
    size = np.abs(cross)
    phase = np.divide(cross, size, out=np.zeros_like(cross), where=size > 0)
    rows, columns = one.shape
    frequency = np.hypot(np.fft.fftfreq(rows)[:, None], np.fft.rfftfreq(columns)[None])
    weight = np.exp(-0.5 * (frequency / _BAND) ** 2)
    weight[0, 0] = 0
    surface = np.fft.irfft2(phase * weight, s=one.shape)
    row, column = np.unravel_index(int(surface.argmax()), surface.shape)
    if surface[row, column] <= _CLEAR * float(surface.std()):
        return None
    return (
        _middle(surface[:, column], int(row)),
        _middle(surface[row, :], int(column)),
    )


def unrelated(one: Floats, other: Floats) -> bool:
    """Whether two images both show something, and not the same.

    To be asked where `shift_between` finds nothing: even grey, or two things.
    """
    one, other = _central(one), _central(other)
    smooth = [ndimage.gaussian_filter(image.astype(np.float64), _SMOOTH) for image in (one, other)]
    # white noise that is smoothed so keeps this share of its deviation
    share = 1 / (2 * _SMOOTH * np.pi**0.5)
    for image, even in zip((one, other), smooth, strict=True):
        diagonal = (image[:-1, :-1] - image[1:, :-1] - image[:-1, 1:] + image[1:, 1:]) / 2
        if even.std() <= _STRUCTURED * share * float(diagonal.std()):
            return False
    return float(np.corrcoef(smooth[0].ravel(), smooth[1].ravel())[0, 1]) < _RELATED


def _central(image: Floats) -> Floats:
    rows, columns = ((length - min(length, _MOST)) // 2 for length in image.shape)
    return image[rows : rows + _MOST, columns : columns + _MOST]


def _spectrum(image: Floats) -> NDArray[np.complex128]:
    """Spectrum of an image whose mean and borders are taken off."""
    rows, columns = image.shape
    window = np.hanning(rows)[:, None] * np.hanning(columns)[None]
    values = image.astype(np.float64)
    values -= (values * window).sum() / window.sum()
    return np.asarray(np.fft.rfft2(values * window))


def _middle(line: NDArray[np.float64], top: int) -> float:
    """Place of a peak from its three highest values, as a signed shift."""
    length = len(line)
    before, peak, after = (float(line[(top + step) % length]) for step in (-1, 0, 1))
    offset = 0.0
    if min(before, after) > 0:
        a, b, c = np.log([before, peak, after])
        if a + c < 2 * b:
            offset = float((a - c) / (2 * (a - 2 * b + c)))
    signed = top if top <= length // 2 else top - length
    return signed + offset

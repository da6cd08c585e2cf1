"""Image metrics: PSNR, SSIM, noise and bias, noise power spectra."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Floats = NDArray[np.float32]

CT_WINDOW = (-160.0, 240.0)
"""The soft-tissue window in HU to which the Mayo literature clips before PSNR."""


def lower_is_better(metric: str) -> bool:
    """Whether a smaller value of a metric is the better one: true of the perceptual distance."""
    return metric.startswith("PDR")


def psnr(image: Floats, reference: Floats, peak: float = 1.0) -> float:
    """Peak signal-to-noise ratio in dB, ``10 log10(peak^2 / MSE)``; infinite if equal."""
    difference = image.astype(np.float64) - reference
    error = float(np.mean(difference * difference))
    return math.inf if error == 0 else 10 * math.log10(peak**2 / error)


def psnr_window(image: Floats, reference: Floats) -> float:
    """PSNR of two images in HU after clipping both to -160..240 HU, peak 400 HU."""
    low, high = CT_WINDOW
    return psnr(np.clip(image, low, high), np.clip(reference, low, high), high - low)


def ssim(image: Floats, reference: Floats, peak: float = 1.0) -> float:
    """Structural similarity (Wang et al. 2004), mean of the map.

    Gaussian window 11 x 11 with a standard deviation of 1.5, K1 = 0.01, K2 = 0.03, population
    moments. The five pixels at each border are left out.
    """
    a, b = image.astype(np.float64), reference.astype(np.float64)

    def local(values: NDArray[np.float64]) -> NDArray[np.float64]:
        blurred = ndimage.gaussian_filter(values, 1.5, truncate=3.5)
        return np.asarray(blurred[5:-5, 5:-5])

    mean_a, mean_b = local(a), local(b)
    variance_a = local(a * a) - mean_a**2
    variance_b = local(b * b) - mean_b**2
    covariance = local(a * b) - mean_a * mean_b
    one, two = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    above = (2 * mean_a * mean_b + one) * (2 * covariance + two)
    below = (mean_a**2 + mean_b**2 + one) * (variance_a + variance_b + two)
    return float(np.mean(above / below))


def noise_by_mad(image: Floats) -> float:
    """Standard deviation of white noise from the median of the finest diagonal differences."""
    diagonal = (image[:-1, :-1] - image[1:, :-1] - image[:-1, 1:] + image[1:, 1:]) / 2
    return float(np.median(np.abs(diagonal)) / 0.6745)


def nps(noise: Floats, pixel_mm: float, size: int = 64, order: int = 0) -> NDArray[np.float64]:
    """Two-dimensional noise power spectrum of non-overlapping regions of an image of noise.

    Parameters
    ----------
    noise : ndarray of shape (rows, columns)
        Noise alone, in HU.
    pixel_mm : float
        Pixel spacing.
    size : int
        Side of the regions.
    order : int
        Degree of the polynomial surface that is removed from each region: 0 is its mean, 2 also
        cupping and shading (ICRU Report 87, section 4.4).

    Returns
    -------
    ndarray of shape (size, size)
        Power in HU^2 mm^2, zero frequency first; its integral over frequency is the variance.
    """
    rows, columns = (length // size for length in noise.shape)
    cut = noise[: rows * size, : columns * size].astype(np.float64)
    regions = cut.reshape(rows, size, columns, size).swapaxes(1, 2).reshape(-1, size, size)
    regions = regions - _surface(regions, order)
    power = np.mean(np.abs(np.fft.fft2(regions)) ** 2, axis=0)
    return np.asarray(power * pixel_mm**2 / size**2)


def _surface(regions: NDArray[np.float64], order: int) -> NDArray[np.float64]:
    """Least-squares polynomial surface of degree `order` for each of ``[regions, size, size]``."""
    size = regions.shape[-1]
    along = np.linspace(-1, 1, size)
    terms = [
        np.outer(along**row, along**column).ravel()
        for row in range(order + 1)
        for column in range(order + 1 - row)
    ]
    basis, _ = np.linalg.qr(np.stack(terms, axis=1))
    flat = regions.reshape(-1, size * size)
    return np.asarray((flat @ basis @ basis.T).reshape(regions.shape))


def radial(power: NDArray[np.float64], bins: int = 16) -> NDArray[np.float64]:
    """Mean of a spectrum over rings, from zero to the Nyquist frequency of a row, in `bins`."""
    frequency = np.fft.fftfreq(len(power))
    ring = np.hypot(frequency[:, None], frequency[None, :]) * 2 * bins
    index = np.minimum(ring.astype(int), bins)
    total = np.bincount(index.ravel(), power.ravel(), bins + 1)[:bins]
    count = np.bincount(index.ravel(), minlength=bins + 1)[:bins]
    return np.asarray(total / np.maximum(count, 1))


def mean_frequency(power: NDArray[np.float64], pixel_mm: float) -> float:
    """Mean frequency of a noise power spectrum, weighted by power, per millimetre."""
    frequency = np.fft.fftfreq(len(power), d=pixel_mm)
    radius = np.hypot(frequency[:, None], frequency[None, :])
    return float((radius * power).sum() / power.sum())

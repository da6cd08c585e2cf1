"""Low-dose CT noise, simulated in a parallel-beam projection domain.

Quantum (Poisson) and electronic (normal) noise is drawn on the projections of a slice and its
logarithm reconstructed by filtered back-projection, so it is coloured, depends on the object and
streaks behind dense parts. Both directions use the Fourier slice theorem with a non-uniform FFT
(Barnett, Magland, af Klinteberg 2019), exact for a periodic band-limited image.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import finufft
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Doubles = NDArray[np.floating[Any]]

WATER_PER_MM = 0.0195
"""Attenuation of water at about 70 keV, per millimetre."""


@dataclass(frozen=True, slots=True)
class Kernel:
    """Apodisation of the ramp filter, in cycles per pixel.

    Parameters
    ----------
    cutoff : float
        Frequency above which nothing passes; 0.5 is the Nyquist frequency of a row of pixels.
    softness : float
        Exponent of the Hann window that falls to zero at `cutoff`: 0 is the bare ramp, 1 Hann.
    boost : float
        Edge enhancement: the response at ``cutoff / 2`` is about ``1 + boost`` times the window.
    """

    cutoff: float
    softness: float
    boost: float = 0.0

    def response(self, frequency: Doubles) -> Doubles:
        """Gain over the bare ramp at `frequency` (cycles per pixel)."""
        relative = np.abs(frequency) / self.cutoff
        inside = relative < 1
        window = np.where(inside, 0.5 + 0.5 * np.cos(np.pi * np.minimum(relative, 1)), 0.0)
        shaped = np.where(inside, window**self.softness, 0.0)
        result: Doubles = shaped * (1 + self.boost * 4 * relative * (1 - relative))
        return result


@dataclass(frozen=True, slots=True)
class Exposure:
    """How many quanta reach the detector.

    Parameters
    ----------
    photons : float
        Mean quanta per detector element without an object, at a modulation of 1.
    electronic : float
        Standard deviation of the electronic noise, in quanta.
    modulation : float
        0 for a constant tube current; 1 for a current that makes every view's least count equal.
    """

    photons: float
    electronic: float = 5.0
    modulation: float = 0.0


class ParallelBeam:
    """Forward projection and filtered back-projection of square slices of one size.

    Parameters
    ----------
    size : int
        Rows and columns of the slice.
    views : int
        Projection angles over 180 degrees.
    spacing : float
        Distance of detector elements in pixels; at most 0.7 keeps the corners of the spectrum.
    """

    def __init__(self, size: int, views: int = 720, spacing: float = 0.7) -> None:
        self.size = size
        self.views = views
        self.spacing = spacing
        length = int(np.ceil(2 * size / spacing))
        self.elements = length + length % 2
        angles = np.arange(views) * np.pi / views
        self.frequency = np.fft.rfftfreq(self.elements, d=spacing)
        step = 2 * np.pi * self.frequency
        self._rows = np.ascontiguousarray(np.outer(np.sin(angles), step)).ravel()
        self._columns = np.ascontiguousarray(np.outer(np.cos(angles), step)).ravel()
        self._ramp = _ramp(self.elements, spacing)
        self._inside = (np.abs(self._rows) <= np.pi) & (np.abs(self._columns) <= np.pi)

    def project(self, image: Floats) -> Floats:
        """Line integrals of `image` (per pixel), ``[views, elements]`` in units of pixels.

        Parameters
        ----------
        image : ndarray of shape (size, size)
            Attenuation per pixel.
        """
        spectrum = finufft.nufft2d2(
            self._rows.astype(np.float32),
            self._columns.astype(np.float32),
            image.astype(np.complex64),
            eps=1e-5,
            isign=-1,
            nthreads=1,
        )
        spectrum = np.where(self._inside, spectrum, 0).reshape(self.views, -1)
        rows = np.fft.irfft(spectrum, n=self.elements, axis=1) / self.spacing
        return np.fft.fftshift(rows, axes=1).astype(np.float32)

    def reconstruct(self, sinogram: Floats, kernel: Kernel) -> Floats:
        """Filtered back-projection of `sinogram` to ``[size, size]``.

        Parameters
        ----------
        sinogram : ndarray of shape (views, elements)
            Line integrals in units of pixels.
        kernel : Kernel
            Apodisation of the ramp.
        """
        spectrum = np.fft.rfft(np.fft.ifftshift(sinogram, axes=1), axis=1) * self.spacing
        ramp = self._ramp * kernel.response(self.frequency)
        both_signs = np.full(len(ramp), 2.0)
        both_signs[0] = 1
        weight = both_signs * ramp * self.frequency[1] * np.pi / self.views
        strengths = np.where(self._inside, (spectrum * weight).ravel(), 0)
        image = finufft.nufft2d1(
            self._rows.astype(np.float32),
            self._columns.astype(np.float32),
            strengths.astype(np.complex64),
            (self.size, self.size),
            eps=1e-5,
            isign=1,
            nthreads=1,
        )
        return np.asarray(image.real, dtype=np.float32)


def _ramp(elements: int, spacing: float) -> Doubles:
    """Spectrum of the band-limited ramp sampled in space, which keeps the mean (Kak, Slaney)."""
    offset = np.fft.fftfreq(elements, d=1 / elements)
    odd = offset % 2 == 1
    taps = np.zeros(elements)
    taps[0] = 1 / 4
    taps[odd] = -1 / (np.pi * offset[odd]) ** 2
    ramp: Doubles = np.fft.rfft(taps).real / spacing
    return ramp


def attenuation(hounsfield: Floats, pixel_mm: float) -> Floats:
    """Attenuation per pixel of a slice in HU, never negative."""
    result: Floats = np.maximum(1 + hounsfield / 1000, 0) * np.float32(WATER_PER_MM * pixel_mm)
    return result


def line_noise(integrals: Floats, exposure: Exposure, generator: np.random.Generator) -> Floats:
    """Noise of measured line integrals: measured minus true, same shape and unit as `integrals`.

    Counts are ``Poisson(photons * exp(-p)) + normal(electronic)``, floored at a tenth of a quantum
    or at a twentieth of the expectation before the logarithm.
    """
    photons = np.full((len(integrals), 1), exposure.photons)
    if exposure.modulation:
        worst = integrals.max(axis=1, keepdims=True)
        photons = photons * np.exp(exposure.modulation * (worst - worst.mean()))
    expected = photons * np.exp(-integrals.astype(np.float64))
    counts = generator.poisson(expected) + generator.normal(0, exposure.electronic, expected.shape)
    counts = np.maximum(counts, np.maximum(0.1, expected / 20))
    noise: Floats = (np.log(expected) - np.log(counts)).astype(np.float32)
    return noise


def noise_image(  # noqa: PLR0917
    hounsfield: Floats,
    pixel_mm: float,
    exposure: Exposure,
    kernel: Kernel,
    generator: np.random.Generator,
    beam: ParallelBeam | None = None,
) -> Floats:
    """Noise in HU that a low-dose acquisition of this slice would add.

    Parameters
    ----------
    hounsfield : ndarray of shape (size, size), float32
        The slice in HU.
    pixel_mm : float
        Pixel spacing in millimetres.
    exposure, kernel
        Acquisition and reconstruction.
    generator : numpy.random.Generator
        Source of randomness.
    beam : ParallelBeam, optional
        Geometry of that size, to be reused over slices.

    Returns
    -------
    ndarray of shape (size, size), float32
        Noise in HU. Filtered back-projection is linear, so it is added to the slice.
    """
    beam = beam or ParallelBeam(hounsfield.shape[0])
    integrals = np.maximum(beam.project(attenuation(hounsfield, pixel_mm)), 0)
    noise = beam.reconstruct(line_noise(integrals, exposure, generator), kernel)
    return (noise * np.float32(1000 / (WATER_PER_MM * pixel_mm))).astype(np.float32)

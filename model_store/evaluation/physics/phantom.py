"""Digital phantoms: a water cylinder with rods, drawn with a system's resolution and its noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from model_store.training.simulation.ct import Exposure, Kernel, ParallelBeam, noise_image

Floats = NDArray[np.float32]
Doubles = NDArray[np.floating]

APERTURE_MM = 0.75
"""Detector element, focal spot and interpolation together, at the isocentre: with it the resolution
of `SHARP` and `SOFT` is that of the two kernels of the CTP404 images (50 % at 0.56 and 0.34 per
millimetre)."""

FULL_DOSE = Exposure(photons=3.9e5)
"""Gives the 15 HU of the uniform repeats in the middle of 150 mm of water with `SHARP`."""

QUARTER_DOSE = Exposure(photons=FULL_DOSE.photons / 4)

VIEWS = 400

CONTRASTS_HU = (-1000.0, 340.0, 120.0, -100.0, 100.0, -35.0, 14.0, 7.0, 1000.0)
LOW_CONTRAST = ((3.0, 14.0), (5.0, 7.0), (7.0, 5.0), (10.0, 3.0))
"""Diameter in mm and contrast in HU of the MITA low-contrast phantom's rods."""


@dataclass(frozen=True, slots=True)
class System:
    """Resolution of an acquisition: detector aperture and reconstruction kernel.

    Parameters
    ----------
    cutoff_per_mm : float
        Frequency at which the Hann window of the kernel reaches zero.
    aperture_mm : float
        Width over which the signal, not the noise, is averaged at the isocentre.
    """

    cutoff_per_mm: float
    aperture_mm: float = APERTURE_MM

    def kernel(self, pixel_mm: float) -> Kernel:
        """Kernel of the noise for this pixel spacing."""
        return Kernel(cutoff=self.cutoff_per_mm * pixel_mm, softness=1.0)

    def transfer(self, frequency: Doubles) -> Doubles:
        """Modulation of the signal at `frequency` (per millimetre)."""
        window = self.kernel(1.0).response(frequency)
        return np.asarray(window * np.sinc(frequency * self.aperture_mm))


SHARP = System(cutoff_per_mm=1.5)
"""Near a Siemens D45."""

SOFT = System(cutoff_per_mm=0.75)
"""Near a Siemens B30."""


@dataclass(frozen=True, slots=True)
class Rod:
    """One rod, in millimetres from the middle of the phantom.

    Parameters
    ----------
    down_mm, right_mm : float
        Place of its axis.
    diameter_mm : float
        Diameter.
    contrast : float
        Difference from water in HU.
    """

    down_mm: float
    right_mm: float
    diameter_mm: float
    contrast: float


@dataclass(frozen=True, slots=True)
class Phantom:
    """A water cylinder in air with rods.

    Parameters
    ----------
    rods : tuple of Rod
        Without overlap.
    diameter_mm : float
        Of the water.
    pixel_mm : float
        Pixel spacing of the images.
    size : int
        Rows and columns; the axis lies on pixel ``(size // 2, size // 2)``.
    """

    rods: tuple[Rod, ...] = ()
    diameter_mm: float = 150.0
    pixel_mm: float = 0.6640625
    size: int = 256

    def draw(self, system: System) -> Floats:
        """Draw without noise: HU, shape (size, size), exact samples of the band-limited object.

        The Fourier transforms of discs are known, so no pixel grid limits the edges; they are
        summed on twice the grid's band, which the system's response ends.
        """
        step = self.pixel_mm / 2
        along = np.fft.fftfreq(2 * self.size, d=step)
        down, right = along[:, None], along[None, : self.size + 1]
        radius = np.hypot(down, right)
        spectrum = 1000 * _disc(self.diameter_mm, radius).astype(complex)
        discs = {rod.diameter_mm: _disc(rod.diameter_mm, radius) for rod in self.rods}
        for rod in self.rods:
            rows = np.exp(-2j * np.pi * down * rod.down_mm)
            columns = np.exp(-2j * np.pi * right * rod.right_mm)
            spectrum += rod.contrast * discs[rod.diameter_mm] * (rows * columns)
        image = np.fft.irfft2(spectrum * system.transfer(radius), (2 * self.size, 2 * self.size))
        centred = np.fft.fftshift(image)[::2, ::2] / step**2
        return (centred - 1000).astype(np.float32)

    def place(self, rod: Rod) -> tuple[float, float]:
        """Row and column of a rod's axis in pixels."""
        middle = self.size // 2
        return middle + rod.down_mm / self.pixel_mm, middle + rod.right_mm / self.pixel_mm


def _disc(diameter: float, frequency: Doubles) -> Doubles:
    """Fourier transform of a disc of height 1."""
    radius = diameter / 2
    argument = 2 * np.pi * radius * np.maximum(frequency, 1e-9)
    return np.asarray(2 * np.pi * radius**2 * special.j1(argument) / argument)


@dataclass(frozen=True, slots=True)
class ScanCondition:
    """Under which a phantom is scanned.

    Parameters
    ----------
    name : str
        Short.
    system : System
        Resolution.
    exposure : Exposure
        Dose.
    """

    name: str
    system: System
    exposure: Exposure


SHARP_QUARTER = ScanCondition("sharp kernel, quarter dose", SHARP, QUARTER_DOSE)
SHARP_FULL = ScanCondition("sharp kernel, full dose", SHARP, FULL_DOSE)
SOFT_QUARTER = ScanCondition("soft kernel, quarter dose", SOFT, QUARTER_DOSE)


class Acquisition:
    """Noisy images of one phantom.

    Parameters
    ----------
    phantom : Phantom
        What is scanned.
    condition : ScanCondition
        Resolution and dose.
    """

    def __init__(self, phantom: Phantom, condition: ScanCondition) -> None:
        self.phantom = phantom
        self.mean = phantom.draw(condition.system)
        self._kernel = condition.system.kernel(phantom.pixel_mm)
        self._exposure = condition.exposure
        self._beam = ParallelBeam(phantom.size, views=VIEWS)

    def noise(self, generator: np.random.Generator) -> Floats:
        """One realisation of the noise in HU, shape (size, size)."""
        return noise_image(
            self.mean,
            self.phantom.pixel_mm,
            self._exposure,
            self._kernel,
            generator,
            self._beam,
        )


def contrast_phantom() -> Phantom:
    """Rods of 20 mm and nine contrasts on a circle, for resolution; the middle is free."""
    step = 2 * np.pi / len(CONTRASTS_HU)
    rods = (
        Rod(52 * float(np.sin(step * index)), 52 * float(np.cos(step * index)), 20, contrast)
        for index, contrast in enumerate(CONTRASTS_HU)
    )
    return Phantom(tuple(rods))


def low_contrast_sites() -> tuple[tuple[int, int], ...]:
    """24 places for rods, in pixels from the middle, from the inside out; 22 mm apart."""
    places = [
        (down, right)
        for down in (-85, -51, -17, 17, 51, 85)
        for right in (-85, -51, -17, 17, 51, 85)
    ]
    near = [place for place in places if np.hypot(*place) < 95]  # noqa: PLR2004
    return tuple(sorted(near, key=lambda place: (place[0] ** 2 + place[1] ** 2, place)))


def low_contrast_phantom(turn: int | None) -> Phantom:
    """Phantom of 24 low-contrast rods, six of each kind, or of water alone.

    Parameters
    ----------
    turn : int or None
        0 to 3: which kind is at which site, so that over four turns every kind is at every site;
        None for water alone.
    """
    pixel_mm = 165 / 256
    if turn is None:
        return Phantom(pixel_mm=pixel_mm)
    rods = []
    for index, (down, right) in enumerate(low_contrast_sites()):
        diameter, contrast = LOW_CONTRAST[(index + turn) % 4]
        rods.append(Rod(down * pixel_mm, right * pixel_mm, diameter, contrast))
    return Phantom(tuple(rods), pixel_mm=pixel_mm)

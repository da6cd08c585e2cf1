"""Digital CT phantoms without any noise: overlapping shapes of every contrast in a body of water.

Clinical references carry noise of their own, which a network learns to keep. These do not. Sizes
follow a power law and shapes hide one another ("dead leaves"; Lee, Mumford, Huang 2001), which
gives edges and spectra like those of natural images. Their edges are blurred at random, or as the
kernel blurs them that the noise is reconstructed with: a scanner's sharp kernel gives sharp noise
and sharp edges, never the one without the other.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from model_store.training.simulation.ct import Kernel

Floats = NDArray[np.float32]

_FINE = 2
_FINER = 4
_NYQUIST = 0.5
_AIR_HU = -1000.0
_FEWEST, _MOST = 60, 220
_SMALLEST_MM, _LARGEST_MM = 0.8, 60.0


def random_phantom(size: int, pixel_mm: float, generator: np.random.Generator) -> Floats:
    """Draw a phantom.

    Parameters
    ----------
    size : int
        Rows and columns.
    pixel_mm : float
        Pixel spacing in millimetres; sizes of the shapes are drawn in millimetres.
    generator : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    ndarray of shape (size, size), float32
        Values in HU, -1024 to 3071, blurred as a scanner's optics would.
    """
    image = _shapes(size, _FINE, pixel_mm, generator)
    blur_mm = generator.uniform(0.2, 0.55)
    image = ndimage.gaussian_filter(image, _FINE * blur_mm / pixel_mm)
    coarse = image.reshape(size, _FINE, size, _FINE).mean((1, 3))
    result: Floats = np.clip(coarse, -1024, 3071).astype(np.float32)
    return result


def scanned_phantom(
    size: int, pixel_mm: float, kernel: Kernel, aperture_mm: float, generator: np.random.Generator
) -> Floats:
    """Draw a phantom with the resolution that a scanner with this kernel gives it.

    Parameters
    ----------
    size : int
        Rows and columns.
    pixel_mm : float
        Pixel spacing in millimetres.
    kernel : Kernel
        Of the reconstruction; it ends the band together with the pixels.
    aperture_mm : float
        Width over which detector and focal spot average the object.
    generator : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    ndarray of shape (size, size), float32
        Values in HU, -1024 to 3071; overshoot at edges where the kernel has it.
    """
    image = _shapes(size, _FINER, pixel_mm, generator)
    spectrum = np.fft.rfft2(image)
    down = np.fft.fftfreq(len(image), d=1 / _FINER)[:, None]  # cycles per pixel
    right = np.fft.rfftfreq(len(image), d=1 / _FINER)[None]
    frequency = np.hypot(down, right)
    transfer = kernel.response(frequency) * np.sinc(frequency * aperture_mm / pixel_mm)
    inside = (np.abs(down) < _NYQUIST) & (right < _NYQUIST)
    seen = np.fft.irfft2(np.where(inside, spectrum * transfer, 0), image.shape)
    middle = _FINER // 2
    result: Floats = np.clip(seen[middle::_FINER, middle::_FINER], -1024, 3071).astype(np.float32)
    return result


def _shapes(size: int, fine: int, pixel_mm: float, generator: np.random.Generator) -> Floats:
    """The object itself, ``fine`` times as fine as its pixels."""
    cells = size * fine
    grid = ((np.arange(cells) + 0.5) / cells - 0.5).astype(np.float32)
    image = np.full((cells, cells), _AIR_HU, np.float32)
    axes = generator.uniform(0.3, 0.47, 2)
    body = (grid[:, None] / axes[0]) ** 2 + (grid[None] / axes[1]) ** 2 < 1
    image[body] = _background(generator)
    extent = size * pixel_mm
    for _ in range(int(generator.integers(_FEWEST, _MOST))):
        radius = _power_law(generator) / extent
        centre = generator.uniform(-axes, axes).astype(np.float32)
        _paint(image, grid, centre, radius, generator)
    image[~body] = _AIR_HU
    shading = ndimage.zoom(generator.normal(0, generator.uniform(0, 8), (5, 5)), cells / 5, order=3)
    image += np.where(body, shading[:cells, :cells], 0).astype(np.float32)
    return image


def _background(generator: np.random.Generator) -> float:
    return float(
        generator.choice([0.0, generator.uniform(-110, 80), generator.uniform(-900, -700)])
    )


def _power_law(generator: np.random.Generator) -> float:
    """Radius in millimetres, density falling as its square."""
    return float(1 / generator.uniform(1 / _LARGEST_MM, 1 / _SMALLEST_MM))


def _contrast(generator: np.random.Generator) -> float:
    """HU that a shape adds to what it covers: mostly low contrast, seldom bone or air."""
    size = float(np.exp(generator.uniform(np.log(4), np.log(1000))))
    return size if generator.random() < 0.55 else -size  # noqa: PLR2004


def _paint(
    image: Floats,
    grid: Floats,
    centre: Floats,
    radius: float,
    generator: np.random.Generator,
) -> None:
    """Cover an ellipse, or the part of it on one side of a line, with one value."""
    stretch = float(np.exp(generator.uniform(-0.9, 0.9)))
    angle = float(generator.uniform(0, np.pi))
    reach = radius * max(stretch, 1 / stretch)
    rows, columns = (
        slice(*np.searchsorted(grid, (middle - reach, middle + reach))) for middle in centre
    )
    down, right = grid[rows, None] - centre[0], grid[None, columns] - centre[1]
    along = (np.cos(angle) * down + np.sin(angle) * right) * stretch
    across = (np.cos(angle) * right - np.sin(angle) * down) / stretch
    inside = along**2 + across**2 < radius**2
    if generator.random() < 0.3:  # noqa: PLR2004
        inside &= along < generator.uniform(-0.5, 0.5) * radius
    if not inside.any():
        return
    part = image[rows, columns]
    level = float(part[inside].mean()) + _contrast(generator)
    part[inside] = np.clip(level, -1024, 2500)

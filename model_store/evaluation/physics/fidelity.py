"""The simulated noise beside that of repeated acquisitions.

The repeats were made by others in fan-beam geometry (uniform water; the MITA low-contrast phantom
at three doses). A kernel and one dose are fitted to them; everything else is then predicted by the
parallel-beam simulation of the training and compared.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_store.evaluation.physics.phantom import VIEWS, Phantom
from model_store.evaluation.physics.repeats import (
    CTP404_PIXEL_MM,
    DOSES,
    LOW_CONTRAST_PIXEL_MM,
    UNIFORM,
    low_contrast_repeats,
    uniform_repeats,
)
from model_store.evaluation.physics.spectrum import NoiseSpectrum, noise_spectrum
from model_store.training.simulation.ct import Exposure, Kernel, ParallelBeam, noise_image

Floats = NDArray[np.float32]

_START = 2e5
_SEED = 11


@dataclass(frozen=True, slots=True)
class Agreement:
    """Noise of repeats beside what the simulation predicts.

    Parameters
    ----------
    name : str
        Which repeats.
    real, simulated : NoiseSpectrum
        Central part.
    real_edge, simulated_edge : float
        Noise near the edge of the water over that in the middle.
    fitted : str
        What of this row was fitted rather than predicted.
    """

    name: str
    real: NoiseSpectrum
    simulated: NoiseSpectrum
    real_edge: float
    simulated_edge: float
    fitted: str

    @property
    def deviation(self) -> float:
        """Simulated over real standard deviation, less 1."""
        return self.simulated.deviation / self.real.deviation - 1

    @property
    def mean_frequency(self) -> float:
        """Simulated over real mean frequency, less 1."""
        return self.simulated.mean_frequency / self.real.mean_frequency - 1

    @property
    def peak_frequency(self) -> float:
        """Simulated over real peak frequency, less 1."""
        return self.simulated.peak_frequency / self.real.peak_frequency - 1

    @property
    def profile(self) -> float:
        """Mean absolute difference of the radial profiles (of equal sum) over their mean."""
        real, simulated = (item.profile()[1] for item in (self.real, self.simulated))
        return float(np.abs(real / real.mean() - simulated / simulated.mean()).mean())


def fit_kernel(spectrum: NoiseSpectrum) -> Kernel:
    """Kernel whose noise has the radial profile nearest to `spectrum`.

    Filtered back-projection of white projections has the power ``f H(f)^2`` (Riederer, Pelc,
    Chesler 1978), so nothing is simulated here.
    """
    frequency, power = spectrum.profile()
    pixels = frequency * spectrum.pixel_mm
    shape = power / power.mean()
    best, least = Kernel(0.5, 1.0), np.inf
    for cutoff in np.arange(0.4, 1.301, 0.02):
        for softness in (0.5, 0.75, 1.0, 1.25, 1.5):
            kernel = Kernel(float(cutoff), softness)
            drawn = pixels * kernel.response(pixels) ** 2
            distance = float(np.abs(drawn / drawn.mean() - shape).mean())
            if distance < least:
                best, least = kernel, distance
    return best


def compare_with_repeats(data: Path, realisations: int = 8) -> list[Agreement]:
    """Compare the simulation with all repeats.

    Parameters
    ----------
    data : Path
        Folder above ``ct_physics``.
    realisations : int
        Simulated images for each row.

    Raises
    ------
    DataError
        If the repeats are missing.
    """
    water = [("uniform water, 50 repeats", 1.0, uniform_repeats(data))]
    doses = [
        (f"low-contrast phantom, dose {int(dose)} %", int(dose) / 100, item.absent)
        for dose in reversed(DOSES)
        for item in [low_contrast_repeats(data, dose)]
    ]
    return [
        *_compare(water, CTP404_PIXEL_MM, realisations),
        *_compare(doses, LOW_CONTRAST_PIXEL_MM, realisations),
    ]


def fidelity_table(agreements: list[Agreement]) -> dict[str, Any]:
    """Table for a card or report."""
    return {
        "title": "Simulated noise against repeated acquisitions",
        "note": "Kernel and first dose fitted, the other doses predicted by scaling the quanta; "
        "parallel-beam simulation, repeats in fan-beam geometry. Edge: noise 48 mm or more from "
        "the axis over that within 16 mm.",
        "columns": [
            "repeats",
            "SD HU",
            "simulated",
            "f mean /mm",
            "simulated",
            "f peak /mm",
            "simulated",
            "profile differs",
            "edge",
            "simulated",
            "fitted",
        ],
        "rows": [
            [
                item.name,
                round(item.real.deviation, 2),
                round(item.simulated.deviation, 2),
                round(item.real.mean_frequency, 3),
                round(item.simulated.mean_frequency, 3),
                round(item.real.peak_frequency, 3),
                round(item.simulated.peak_frequency, 3),
                f"{100 * item.profile:.1f} %",
                round(item.real_edge, 3),
                round(item.simulated_edge, 3),
                item.fitted,
            ]
            for item in agreements
        ],
    }


def _compare(
    series: list[tuple[str, float, Floats]], pixel_mm: float, realisations: int
) -> list[Agreement]:
    generator = np.random.default_rng(_SEED)
    # half a pixel from the axis of the repeats, which matters to nobody's noise
    water = np.where(_radius(pixel_mm) < Phantom().diameter_mm / 2, 0, -1000)
    water = water.astype(np.float32)
    beam = ParallelBeam(len(water), views=VIEWS)
    found: list[Agreement] = []
    kernel, photons = Kernel(0.5, 1.0), _START
    for name, dose, images in series:
        noise = (images - images.mean(0)) * np.sqrt(len(images) / (len(images) - 1))
        real = noise_spectrum([item[UNIFORM] for item in noise], pixel_mm)
        if not found:
            kernel = fit_kernel(real)
            trial = [
                noise_image(water, pixel_mm, Exposure(photons), kernel, generator, beam)[UNIFORM]
                for _ in range(realisations)
            ]
            photons *= (noise_spectrum(trial, pixel_mm).deviation / real.deviation) ** 2 / dose
        drawn = np.stack(
            [
                noise_image(water, pixel_mm, Exposure(photons * dose), kernel, generator, beam)
                for _ in range(realisations)
            ]
        )
        found.append(
            Agreement(
                name,
                real,
                noise_spectrum([item[UNIFORM] for item in drawn], pixel_mm),
                _edge(noise, pixel_mm),
                _edge(drawn, pixel_mm),
                "nothing" if found else "kernel, dose",
            )
        )
    return found


def _radius(pixel_mm: float, size: int = 256) -> NDArray[np.float64]:
    along = (np.arange(size) - (size - 1) / 2) * pixel_mm
    return np.asarray(np.hypot(along[:, None], along[None, :]))


def _edge(noise: Floats, pixel_mm: float) -> float:
    radius = _radius(pixel_mm)
    outside = noise[:, (radius > 48) & (radius < 66)]  # noqa: PLR2004
    return float(outside.std() / noise[:, radius < 16].std())  # noqa: PLR2004

"""Detectability index of the non-prewhitening observer with an eye filter (NPWE)."""

from __future__ import annotations

import numpy as np
from scipy import special

from model_store.evaluation.physics.edge import TransferFunction
from model_store.evaluation.physics.spectrum import NoiseSpectrum


def npwe_index(
    diameter_mm: float, contrast: float, transfer: TransferFunction, noise: NoiseSpectrum
) -> float:
    """Detectability index of a disc from its TTF and the noise power spectrum.

    ``d'^2 = [int |W|^2 TTF^2 E^2]^2 / int |W|^2 TTF^2 NPS E^4`` (AAPM Task Group 233) with the eye
    filter ``E = f^1.3 exp(-3 f^2)``, f per millimetre (Richard, Siewerdsen 2008).

    Parameters
    ----------
    diameter_mm, contrast : float
        The disc, in mm and HU.
    transfer : TransferFunction
        TTF at that contrast.
    noise : NoiseSpectrum
        Of the same images.
    """
    along = np.fft.fftfreq(len(noise.power), d=noise.pixel_mm)
    frequency = np.hypot(along[:, None], along[None, :])
    argument = np.pi * diameter_mm * np.maximum(frequency, 1e-9)
    disc = abs(contrast) * np.pi * diameter_mm**2 / 2 * special.j1(argument) / argument
    eye = frequency**1.3 * np.exp(-3 * frequency**2)
    seen = (disc * np.interp(frequency, transfer.frequency, transfer.value)) ** 2
    cell = 1 / (len(along) * noise.pixel_mm) ** 2
    signal = np.sum(seen * eye**2) * cell
    return float(signal / np.sqrt(np.sum(seen * noise.power * eye**4) * cell))

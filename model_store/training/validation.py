"""How good a run's averaged weights are on patches that training does not draw."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model_store.training.adversary import Adversary
from model_store.training.losses import Loss, dissimilarity
from model_store.training.recipe import InputSection

Floats = NDArray[np.float32]
Distance = Callable[[Floats, Floats], float]
"""Perceptual distance of two grey images of 0..1, 0 if they are equal."""
Patches = tuple[Tensor, Tensor, Tensor]
"""Noisy patches, targets and weights, as of a batch."""

VALIDATION = "validation"
"""Key of its figures in the log of a run."""
_SMALLEST_SSIM, _SMALLEST_PDR = 11, 32
_SOFT_TISSUE = (-160.0, 240.0)


class Validation:
    """Measures a generator on batches.

    Parameters
    ----------
    loss : Loss
        The run's; each of its terms is told.
    adversary : Adversary, optional
        The run's critic; what it makes of clean and denoised patches is told.
    distance : callable, optional
        Perceptual distance (PDR); CT is compared in the window of -160 to 240 HU.
    section : InputSection, optional
        Of the recipe, for that window.
    """

    def __init__(
        self,
        loss: Loss,
        adversary: Adversary | None = None,
        distance: Distance | None = None,
        section: InputSection | None = None,
    ) -> None:
        self._loss = loss
        self._adversary = adversary
        self._distance = distance
        hounsfield = section is not None and section.units == "HU"
        self._window = (
            tuple(section.in_unit(value) for value in _SOFT_TISSUE)
            if section is not None and hounsfield
            else (0.0, 1.0)
        )

    @torch.no_grad()
    def measure(
        self, generate: Callable[[Tensor], Tensor], batches: list[Patches]
    ) -> dict[str, float]:
        """Means over all patches.

        Parameters
        ----------
        generate : callable
            The generator, in evaluation mode.
        batches : list of Patches
            At least one.

        Returns
        -------
        dict of str to float
            ``PSNR`` (dB, peak 1 on the unit of the losses), ``SSIM`` and ``PDR`` where patches are
            large enough, ``loss`` and each of its terms, ``D(x)`` and ``D(G(z))``.
        """
        sums: dict[str, float] = defaultdict(float)
        error = 0.0
        for noisy, clean, weight in batches:
            prediction = generate(noisy)
            ours, theirs = self._loss.unit(prediction), self._loss.unit(clean)
            error += float(((ours - theirs) ** 2).mean())
            told = self._similarity(ours, theirs)
            total, parts = self._loss(prediction, clean, weight, noisy)
            told |= {name: float(value) for name, value in parts.items()}
            if parts:
                told["loss"] = float(total)
            if self._adversary is not None:
                scores = self._adversary.scores(theirs, ours, self._loss.unit(noisy))
                told |= {name: float(value) for name, value in scores.items()}
            for name, value in told.items():
                sums[name] += value
        count = len(batches)
        psnr = -10 * math.log10(max(error / count, 1e-12))
        return {"PSNR": psnr, **{name: value / count for name, value in sums.items()}}

    def _similarity(self, ours: Tensor, theirs: Tensor) -> dict[str, float]:
        side = min(ours.shape[-2:])
        found = {}
        if side >= _SMALLEST_SSIM:
            found["SSIM"] = 1 - float(dissimilarity(ours, theirs).mean())
        if self._distance is not None and side >= _SMALLEST_PDR:
            low, high = self._window
            shown = (((each - low) / (high - low)).cpu().numpy() for each in (ours, theirs))
            pairs = list(zip(*shown, strict=True))
            found["PDR"] = sum(self._distance(left[0], right[0]) for left, right in pairs) / len(
                pairs
            )
        return found

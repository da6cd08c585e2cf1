"""One trial: a noisy image, its reference, the model and every filter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_store.evaluation.filters import best_of_each

Floats = NDArray[np.float32]
Scores = dict[str, dict[str, float]]
Scorer = Callable[[Floats, Floats], dict[str, float]]
_MARGIN = 16
_STRENGTHS = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
OWN = ("input", "model", "model-strength")
"""Methods that are not filters."""


@dataclass(frozen=True, slots=True)
class Case:
    """What a trial needs.

    Parameters
    ----------
    group : str
        Row group of the report, such as ``simulated, 25 HU``.
    name : str
        Which image; no personal data.
    noisy, reference : ndarray of shape (rows, columns)
        Images in the model's units.
    centre : tuple of int
        Centre of the crop that is scored.
    score : callable
        Metrics of an image against the reference, larger is better.
    facts : callable
        Metrics of the model's output alone that are no contest, such as bias.
    main : str
        The metric that the headline quotes.
    size : int
        Side of the crop.
    """

    group: str
    name: str
    noisy: Floats
    reference: Floats
    centre: tuple[int, int]
    score: Scorer
    main: str
    facts: Callable[[Floats, Floats, Floats], dict[str, float]] | None = None
    size: int = 224

    def crop(self, image: Floats, margin: int = 0) -> Floats:
        """Cut the scored part, with a margin, out of an image."""
        half = min(self.size, *image.shape) // 2
        slices = []
        for middle, length in zip(self.centre, image.shape, strict=True):
            start = min(max(middle - half, margin), length - 2 * half - margin)
            slices.append(slice(max(start - margin, 0), start + 2 * half + margin))
        return image[slices[0], slices[1]]


@dataclass(frozen=True, slots=True)
class Trial:
    """Scores of every method on one case."""

    group: str
    name: str
    main: str
    scores: Scores = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {"group": self.group, "name": self.name, "main": self.main, "scores": self.scores}


def run_trial(
    case: Case,
    model: Callable[[Floats], Floats],
    *,
    quick: bool = False,
    known: Scores | None = None,
) -> Trial:
    """Score the input, the model on the whole image, and every filter on the crop.

    ``model`` is the version as released, ``model-strength`` the best of six strengths per metric,
    the counterpart of the filters' best settings.
    Filters see 16 pixels more than is scored on each side where the image has them.

    Parameters
    ----------
    case : Case
        Images and metrics.
    model : callable
        The model version.
    quick : bool
        Coarse grids of the filters.
    known : dict, optional
        Scores of an earlier trial of the same case, whose filters are not run again.
    """
    denoised = model(case.noisy)
    reference = case.crop(case.reference)
    wide = case.crop(case.noisy, _MARGIN)
    top, left = ((a - b) // 2 for a, b in zip(wide.shape, reference.shape, strict=True))

    def score(image: Floats) -> dict[str, float]:
        inner = image[top : top + reference.shape[0], left : left + reference.shape[1]]
        return case.score(inner, reference)

    deviation = float((case.crop(case.noisy) - reference).std())
    scores = {"input": case.score(case.crop(case.noisy), reference)}
    if known is None:
        scores |= best_of_each(wide, deviation, score, quick=quick)
    else:
        scores |= {name: item for name, item in known.items() if name not in OWN}
    scores["model"] = case.score(case.crop(denoised), reference)
    scores["model-strength"] = dict(scores["model"])
    for strength in _STRENGTHS[:-1]:
        mixed = case.crop(case.noisy + np.float32(strength) * (denoised - case.noisy))
        for metric, value in case.score(mixed, reference).items():
            scores["model-strength"][metric] = max(value, scores["model-strength"][metric])
    if case.facts is not None:
        noisy = case.crop(case.noisy)
        scores["model"] |= case.facts(case.crop(denoised), noisy, reference)
        scores["input"] |= case.facts(noisy, noisy, reference)
    return Trial(case.group, case.name, case.main, scores)

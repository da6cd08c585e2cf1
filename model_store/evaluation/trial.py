"""One trial: a noisy image, its reference, the model and every filter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_store.evaluation.filters import FilterSettings, best_of_each, score_settings
from model_store.evaluation.metrics import lower_is_better

Floats = NDArray[np.float32]
Scores = dict[str, dict[str, float]]
Scorer = Callable[[Floats, Floats], dict[str, float]]
_MARGIN = 16
_STRENGTHS = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


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
        Metrics of an image against the reference.
    facts : callable
        Metrics of the model's output alone that are no contest, such as bias.
    main : str
        The metric that the headline quotes.
    size : int
        Side of the crop.
    beyond : bool
        Whether the network is to change values outside the manifest's range too, as the white
        noise of some publications puts there; a scanner stores no such values.
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
    beyond: bool = False

    def crop(self, image: Floats, margin: int = 0) -> Floats:
        """Cut the scored part out of an image, and `margin` pixels around it where it has them."""
        rows, columns = (
            slice(max(start - margin, 0), start + side + margin) for start, side in self._spans()
        )
        return image[rows, columns]

    def inner(self, wide: Floats, margin: int) -> Floats:
        """Cut the scored part out of what `crop` gave with that margin."""
        rows, columns = (
            slice(min(start, margin), min(start, margin) + side) for start, side in self._spans()
        )
        return wide[rows, columns]

    def _spans(self) -> list[tuple[int, int]]:
        """First index and length of the scored part, for rows and columns."""
        side = min(self.size, *self.reference.shape)
        return [
            (min(max(middle - side // 2, 0), length - side), side)
            for middle, length in zip(self.centre, self.reference.shape, strict=True)
        ]


@dataclass(frozen=True, slots=True)
class Trial:
    """Scores of every method on one case; `settings` has all settings of the filters."""

    group: str
    name: str
    main: str
    scores: Scores = field(default_factory=dict)
    settings: FilterSettings = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {"group": self.group, "name": self.name, "main": self.main, "scores": self.scores}


def run_filters(case: Case, *, quick: bool = False) -> FilterSettings:
    """Score every filter at every setting on the crop of a case.

    Filters see 16 pixels more than is scored on each side where the image has them.
    """
    reference = case.crop(case.reference)

    def score(image: Floats) -> dict[str, float]:
        return case.score(case.inner(image, _MARGIN), reference)

    deviation = float((case.crop(case.noisy) - reference).std())
    return score_settings(case.crop(case.noisy, _MARGIN), deviation, score, quick=quick)


def run_trial(
    case: Case,
    model: Callable[[Floats], Floats],
    settings: FilterSettings | None = None,
    *,
    margin: int | None = None,
) -> Trial:
    """Score the input, the model and the filters on the crop of a case.

    ``model`` is the version as released, ``model-strength`` the best of six strengths per metric,
    the counterpart of the filters' best settings.

    Parameters
    ----------
    case : Case
        Images and metrics.
    model : callable
        The model version.
    settings : FilterSettings, optional
        Scores of the filters on this case; without them there are no filters.
    margin : int, optional
        The model sees the crop and that much around it; without it, the whole image.
    """
    settings = settings or {}
    reference, noisy = case.crop(case.reference), case.crop(case.noisy)
    if margin is None:
        denoised = case.crop(model(case.noisy))
    else:
        denoised = case.inner(model(np.ascontiguousarray(case.crop(case.noisy, margin))), margin)
    scores = {"input": case.score(noisy, reference), **best_of_each(settings)}
    scores["model"] = case.score(denoised, reference)
    scores["model-strength"] = dict(scores["model"])
    for strength in _STRENGTHS[:-1]:
        mixed = noisy + np.float32(strength) * (denoised - noisy)
        for metric, value in case.score(mixed, reference).items():
            better = min if lower_is_better(metric) else max
            scores["model-strength"][metric] = better(value, scores["model-strength"][metric])
    if case.facts is not None:
        scores["model"] |= case.facts(denoised, noisy, reference)
        scores["input"] |= case.facts(noisy, noisy, reference)
    return Trial(case.group, case.name, case.main, scores, settings)

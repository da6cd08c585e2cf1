"""Trials of one condition, and the tables that show all conditions side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Any

import numpy as np

from model_store.evaluation.filters import FAMILIES, best_single
from model_store.evaluation.trial import Scores, Trial

ONE_SETTING = ", one setting"
NAMES = {
    "bm3d-mad": "bm3d, noise estimated",
    "model-strength": "model, best strength",
}
"""What tables call methods whose own name does not say it."""
_CONTEST = ("PSNR", "SSIM", "PDR")
_NOTE = (
    "Mean over images, central crops. Filters are at their best setting for each image and metric "
    "(chosen with the reference, which no user has), and at the one setting that is best on the "
    "other images of the condition; ranges of bilateral and BM3D are multiples of the true "
    "standard deviation, but for `bm3d, noise estimated`. `model` is the version as released; "
    "`model, best strength` the best of the strengths 0.5 to 1."
)


@dataclass(frozen=True, slots=True)
class Group:
    """Trials of one condition, with a letter for tables."""

    label: str
    name: str
    trials: tuple[Trial, ...]
    _single: tuple[Scores, ...]

    @classmethod
    def of(cls, trials: Sequence[Trial]) -> list[Group]:
        """Sort trials into groups, in the order in which they come."""
        names = list(dict.fromkeys(trial.group for trial in trials))
        result = []
        for label, name in zip(ascii_uppercase, names, strict=False):
            members = tuple(trial for trial in trials if trial.group == name)
            single: list[Scores] = []
            for trial in members:
                others = [other.settings for other in members if other is not trial]
                single.append(best_single(trial.settings, others) if others else {})
            result.append(cls(label, name, members, tuple(single)))
        return result

    @property
    def main(self) -> str:
        """The metric that the headline quotes."""
        return self.trials[0].main

    @property
    def metrics(self) -> list[str]:
        """All metrics, contested or not, of the model."""
        return list(self.trials[0].scores["model"])

    def metric(self, start: str) -> str | None:
        """The group's metric whose name starts so, the main one first."""
        names = [self.main, *self.metrics]
        return next((name for name in names if name.startswith(start)), None)

    def mean(self, method: str, metric: str) -> float | None:
        """Mean of a method over the images; None where one has no score."""
        if method.endswith(ONE_SETTING):
            found: Sequence[Scores] = self._single
            method = method.removesuffix(ONE_SETTING)
        else:
            found = [trial.scores for trial in self.trials]
        values = [scores[method][metric] for scores in found if metric in scores.get(method, {})]
        return float(np.mean(values)) if len(values) == len(self.trials) else None


def tables(groups: Sequence[Group]) -> list[dict[str, Any]]:
    """One table a metric, methods down and conditions across, then noise and bias."""
    columns = [f"{group.label}" for group in groups]
    metrics = list(dict.fromkeys(name for group in groups for name in group.metrics))
    legend = "; ".join(
        f"**{group.label}** {group.name} ({len(group.trials)} images)" for group in groups
    )
    result: list[dict[str, Any]] = []
    for metric in (name for name in metrics if name.startswith(_CONTEST)):
        lower = " (lower is better)" if metric.startswith("PDR") else ""
        found = {
            method: [_rounded(group, method, metric) for group in groups] for method in _methods()
        }
        rows = [
            [NAMES.get(method, method), *values]
            for method, values in found.items()
            if any(value is not None for value in values)
        ]
        note = f"Conditions: {legend}. {_NOTE}" if not result else ""
        result.append(
            {
                "title": f"{metric}{lower}",
                "note": note,
                "columns": ["method", *columns],
                "rows": rows,
            }
        )
    facts = [name for name in metrics if not name.startswith(_CONTEST)]
    if facts:
        rows = [
            [f"{name}, {method}", *(_rounded(group, method, name) for group in groups)]
            for name in facts
            for method in ("input", "model")
            if not (name.startswith("bias") and method == "input")
        ]
        title = "Noise (deviation from the reference) and bias (model less input)"
        result.append({"title": title, "columns": ["", *columns], "rows": rows})
    return result


def _methods() -> list[str]:
    filters = [name for name in FAMILIES if name != "bm3d-mad"]
    return [
        "input",
        *filters,
        *(f"{name}{ONE_SETTING}" for name in filters),
        "bm3d-mad",
        "model",
        "model-strength",
    ]


def _rounded(group: Group, method: str, metric: str) -> float | None:
    value = group.mean(method, metric)
    digits = 2 if metric.startswith(("PSNR", "noise", "bias")) else 4
    return None if value is None else round(value, digits)

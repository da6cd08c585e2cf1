"""Several arms on the same cases, beside what the publication reports for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from model_store.errors import DataError
from model_store.evaluation.filter_file import FilterFile
from model_store.evaluation.filters import FAMILIES
from model_store.evaluation.groups import Group
from model_store.evaluation.lpips import Lpips
from model_store.evaluation.metrics import lower_is_better
from model_store.evaluation.papers import Figures, PaperTable, arm_of
from model_store.evaluation.report import cases_of, trial_of
from model_store.evaluation.run_model import RunModel
from model_store.evaluation.session import Denoiser, ReleasedModel
from model_store.training.recipe import Recipe

_METRICS = ("PSNR", "SSIM", "PDR")
_DIGITS = {"PSNR": 2, "SSIM": 4, "PDR": 4}
Values = dict[str, float | None]


@dataclass(frozen=True, slots=True)
class Arm:
    """One network to compare.

    Parameters
    ----------
    name : str
        As the tables show it.
    model : Denoiser
        The network.
    recipe : Recipe
        What it was trained by.
    minutes : float, optional
        How long.
    """

    name: str
    model: Denoiser
    recipe: Recipe
    minutes: float | None

    @classmethod
    def open(cls, text: str, zoo: Path) -> Arm:
        """Open a run folder, or ``name@version`` below `zoo`.

        Raises
        ------
        RecipeError, ManifestError
            If there is no such run or version.
        """
        if not Path(text).is_dir() and "@" in text:
            name, _, version = text.partition("@")
            model = ReleasedModel(zoo / name / version)
            recipe = Recipe.read(zoo / name / version / "recipe.toml")
            minutes = model.manifest.metrics.get("training", {}).get("minutes")
            return cls(text, model, recipe, minutes)
        run = RunModel(Path(text))
        return cls(run.recipe.name, run, run.recipe, round(run.minutes, 1))


def compare_arms(
    arms: Sequence[Arm],
    data: Path,
    *,
    weights: Path | None = None,
    filters: FilterFile | None = None,
    quick: bool = False,
    report: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Measure arms, each on the cases that its recipe's noise asks for.

    Parameters
    ----------
    arms : sequence of Arm
        Networks; a table has those that share a condition.
    data : Path
        Folder that the held-out data are below.
    weights : Path, optional
        Folder with the weights of LPIPS; without it there is no PDR.
    filters : FilterFile, optional
        Where the filters' scores come from; without it there are no filters.
    quick : bool
        Fewer images.
    report : callable, optional
        Called with the name of each arm before it is measured.

    Returns
    -------
    dict
        ``summary`` with a table for each condition and one for each publication's order of the
        arms, and ``arms`` with all means.

    Raises
    ------
    DataError
        If held-out data are missing, or two arms have the same name.
    """
    names = [arm.name for arm in arms]
    if len(set(names)) < len(names):
        raise DataError("two arms have the same name: give runs of recipes with their own names")
    perceptual = None if weights is None else Lpips(weights)
    measured: list[tuple[Arm, list[Group]]] = []
    for arm in arms:
        if report is not None:
            report(arm.name)
        cases = cases_of(arm.recipe, data, perceptual, quick=quick)
        measured.append((arm, Group.of([trial_of(case, arm.model, filters) for case in cases])))
    conditions = list(dict.fromkeys(group.name for _, groups in measured for group in groups))
    tables = [_condition(name, measured) for name in conditions]
    orders = [row for name in conditions for row in _orders(name, measured)]
    if orders:
        tables.append(
            {
                "title": "Whether the publication's order of the arms is kept",
                "note": "Differences, better arm less worse arm, as the publication's table (or "
                "for PDR, where it has none, the idea of the method) has them, and ours on our "
                "cases. PDR is better when smaller. The last column counts the images that keep "
                "it; one training an arm, so small differences may be chance.",
                "columns": [
                    "condition",
                    "metric",
                    "better",
                    "worse",
                    "theirs",
                    "ours",
                    "kept",
                    "images",
                ],
                "rows": orders,
            }
        )
    return {
        "summary": {"tables": tables},
        "arms": {
            arm.name: {group.name: _values(group, "model") for group in groups}
            for arm, groups in measured
        },
    }


def _condition(name: str, measured: Sequence[tuple[Arm, list[Group]]]) -> dict[str, Any]:
    """Ours on the left, the publication's figures of the same arm on the right."""
    present = _present(name, measured)
    first = present[0][1]
    rows: list[list[str | float | None]] = [["input", *_row(_values(first, "input"))]]
    papers: dict[str, PaperTable] = {}
    for family in FAMILIES:
        if family in first.trials[0].scores:
            rows.append([f"{family} (best per image)", *_row(_values(first, family))])
    rows = [[*row, None, "", None, None, None] for row in rows]
    for arm, group in present:
        found = _found(arm, name)
        theirs, label = Figures(), ""
        if found is not None:
            table, label = found
            theirs = table.arms[label]
            papers[table.source] = table
        rows.append(
            [
                arm.name,
                *_row(_values(group, "model")),
                arm.minutes,
                label,
                theirs.psnr,
                theirs.ssim,
                theirs.pdr,
            ]
        )
    for table in papers.values():
        for label, figures in (("input", table.noisy), *table.filters.items()):
            if figures is not None:
                paper = [label, figures.psnr, figures.ssim, figures.pdr]
                rows.append(["", None, None, None, None, *paper])
    settings = "; ".join(f"{table.source}: {table.setting}" for table in papers.values())
    note = (
        f"Left: ours, mean of {len(first.trials)} held-out images ({first.main}), minutes "
        "of training. Right: what the publication reports on its own data, not comparable in "
        f"value. {settings}"
    )
    columns = ["arm", "PSNR", "SSIM", "PDR", "minutes"]
    theirs_columns = ["paper's arm", "its PSNR", "its SSIM", "its PDR"]
    return {
        "title": name,
        "note": note.strip(),
        "columns": [*columns, *theirs_columns],
        "rows": rows,
    }


def _orders(
    name: str, measured: Sequence[tuple[Arm, list[Group]]]
) -> list[list[str | float | None]]:
    present = _present(name, measured)
    ours: dict[str, dict[str, Group]] = {}
    tables: dict[str, PaperTable] = {}
    for arm, group in present:
        found = _found(arm, name)
        if found is not None:
            table, label = found
            tables[table.source] = table
            ours.setdefault(table.source, {})[label] = group
    rows: list[list[str | float | None]] = []
    for source, table in tables.items():
        for metric, better, worse in table.claims:
            if better not in ours[source] or worse not in ours[source]:
                continue
            differences = _differences(ours[source][better], ours[source][worse], metric)
            if not differences:
                continue
            sign = -1 if lower_is_better(metric) else 1
            difference = float(np.mean(differences))
            theirs = _difference(table, metric, better, worse)
            digits = _DIGITS[metric]
            rows.append(
                [
                    name,
                    metric,
                    better,
                    worse,
                    None if theirs is None else round(theirs, digits),
                    round(difference, digits),
                    "yes" if sign * difference > 0 else "no",
                    f"{sum(sign * each > 0 for each in differences)} of {len(differences)}",
                ]
            )
    return rows


def _differences(better: Group, worse: Group, metric: str) -> list[float]:
    """Better arm less worse arm, image by image."""
    name = better.metric(metric)
    if name is None or worse.metric(metric) != name:
        return []
    return [
        left.scores["model"][name] - right.scores["model"][name]
        for left, right in zip(better.trials, worse.trials, strict=True)
    ]


def _found(arm: Arm, condition: str) -> tuple[PaperTable, str] | None:
    """Table and arm of the publication, if the condition is the table's."""
    found = arm_of(arm.recipe)
    return found if found is not None and condition.startswith(found[0].condition) else None


def _difference(table: PaperTable, metric: str, better: str, worse: str) -> float | None:
    left: float | None = getattr(table.arms[better], metric.lower())
    right: float | None = getattr(table.arms[worse], metric.lower())
    return None if left is None or right is None else left - right


def _present(name: str, measured: Sequence[tuple[Arm, list[Group]]]) -> list[tuple[Arm, Group]]:
    return [(arm, group) for arm, groups in measured for group in groups if group.name == name]


def _values(group: Group, method: str) -> Values:
    """Mean of the main PSNR, the SSIM and the PDR of a method."""
    names = {start: group.metric(start) for start in _METRICS}
    return {
        start: None if name is None else group.mean(method, name) for start, name in names.items()
    }


def _row(values: Values) -> list[float | None]:
    found = ((values[name], _DIGITS[name]) for name in _METRICS)
    return [None if value is None else round(value, digits) for value, digits in found]

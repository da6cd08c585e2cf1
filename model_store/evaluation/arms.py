"""Several arms on the same cases, beside what the publication reports for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from model_store.errors import DataError
from model_store.evaluation.filter_file import FilterFile
from model_store.evaluation.filters import FAMILIES
from model_store.evaluation.groups import NAMES, Group
from model_store.evaluation.intervals import interval
from model_store.evaluation.lpips import Lpips
from model_store.evaluation.orders import (
    DIGITS,
    Member,
    likenesses,
    order_table,
    orders,
    statements,
)
from model_store.evaluation.papers import METRICS, Figures, PaperTable, arm_of
from model_store.evaluation.report import cases_of, trial_of
from model_store.evaluation.run_model import RunModel
from model_store.evaluation.session import MeasuredModel, ReleasedModel
from model_store.training.recipe import Recipe
from model_store.training.recipe_of import data_recipe

Values = dict[str, float | None]


@dataclass(frozen=True, slots=True)
class Arm:
    """One network to compare.

    Parameters
    ----------
    name : str
        As the tables show it.
    model : MeasuredModel
        The network.
    recipe : Recipe
        What it was trained by, or whose held-out data it is measured on.
    minutes : float, optional
        How long.
    adopted : bool
        Whether it was trained elsewhere, so that the recipe is another's.
    """

    name: str
    model: MeasuredModel
    recipe: Recipe
    minutes: float | None
    adopted: bool = False

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
            recipe = data_recipe(zoo / name / version, model.manifest)
            minutes = model.manifest.metrics.get("training", {}).get("minutes")
            return cls(text, model, recipe, minutes, model.manifest.adopted is not None)
        run = RunModel(Path(text))
        return cls(run.recipe.name, run, run.recipe, round(run.minutes, 1))


def compare_arms(
    arms: Sequence[Arm],
    data: Path,
    *,
    weights: Path | None = None,
    filters: FilterFile | None = None,
    quick: bool = False,
    whole: bool = False,
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
    whole : bool
        Score whole images rather than their central crops.
    report : callable, optional
        Called with the name of each arm before it is measured.

    Returns
    -------
    dict
        ``summary`` with ``tables`` (one a condition, and one for the publications' orders of the
        arms) and ``orders`` (in words, whether each holds); ``arms`` with all means.

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
        if whole:
            cases = (replace(case, size=max(case.reference.shape)) for case in cases)
        measured.append((arm, Group.of([trial_of(case, arm.model, filters) for case in cases])))
    conditions = list(dict.fromkeys(group.name for _, groups in measured for group in groups))
    tables = [_condition(name, measured) for name in conditions]
    found = [order for name in conditions for order in orders(name, _members(name, measured))]
    alike = [line for name in conditions for line in likenesses(name, _members(name, measured))]
    if found:
        tables.append(order_table(found))
    return {
        "summary": {"tables": tables, "orders": [*statements(found), *alike]},
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
            label = NAMES.get(family, f"{family} (best per image)")
            rows.append([label, *_row(_values(first, family))])
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
                *_row(_values(group, "model"), _intervals(group)),
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
        f"Left: ours, mean of {len(first.trials)} held-out images ({first.main}) and its 95 % "
        "bootstrap interval over them, minutes of training. Right: what the publication reports on "
        f"its own data, not comparable in value. {settings}"
    )
    columns = ["arm", "PSNR", "SSIM", "PDR", "minutes"]
    theirs_columns = ["paper's arm", "its PSNR", "its SSIM", "its PDR"]
    return {
        "title": name,
        "note": note.strip(),
        "columns": [*columns, *theirs_columns],
        "rows": rows,
    }


def _members(name: str, measured: Sequence[tuple[Arm, list[Group]]]) -> list[Member]:
    return [
        Member(arm.name, group, *found)
        for arm, group in _present(name, measured)
        if (found := _found(arm, name)) is not None
    ]


def _found(arm: Arm, condition: str) -> tuple[PaperTable, str] | None:
    """Table and arm of the publication, if the condition is the table's."""
    found = None if arm.adopted else arm_of(arm.recipe)
    return found if found is not None and condition.startswith(found[0].condition) else None


def _present(name: str, measured: Sequence[tuple[Arm, list[Group]]]) -> list[tuple[Arm, Group]]:
    return [(arm, group) for arm, groups in measured for group in groups if group.name == name]


def _values(group: Group, method: str) -> Values:
    """Mean of the main PSNR, the SSIM and the PDR of a method."""
    names = {start: group.metric(start) for start in METRICS}
    return {
        start: None if name is None else group.mean(method, name) for start, name in names.items()
    }


def _intervals(group: Group) -> dict[str, tuple[float, float] | None]:
    """95 % intervals over images of the model's means, by the metrics of `_values`."""
    found = {}
    for start in METRICS:
        name = group.metric(start)
        scores = [trial.scores["model"] for trial in group.trials]
        found[start] = None if name is None else interval([score[name] for score in scores])
    return found


def _row(
    values: Values, intervals: Mapping[str, tuple[float, float] | None] | None = None
) -> list[str | float | None]:
    row: list[str | float | None] = []
    for name in METRICS:
        value, digits = values[name], DIGITS[name]
        ends = (intervals or {}).get(name)
        if value is None or ends is None:
            row.append(None if value is None else round(value, digits))
        else:
            row.append(f"{value:.{digits}f} ({ends[0]:.{digits}f} to {ends[1]:.{digits}f})")
    return row

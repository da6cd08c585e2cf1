"""The publication behind a system, and what it reports for the arm that a recipe follows.

Measured by its authors, on their data: never a result of a model version here.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from importlib import resources
from typing import Any

from model_store.evaluation.papers import FURTHER, Figures, PaperTable, arm_of
from model_store.training.recipe import Recipe

_FILE = "published.toml"


@dataclass(frozen=True, slots=True)
class Publication:
    """The work that a system follows.

    Parameters
    ----------
    citation : str
        Authors, title, where, year.
    data : str
        What it was trained and measured on.
    note : str
        What to know before comparing.
    arm : str
        The arm that the model follows, as `table` names it; empty if it has none.
    table : dict or None
        ``title``, ``note``, ``columns``, ``rows`` of its figures; None if it has none.
    condition : str
        Start of the name of the condition of ours that repeats the table's setting; empty if none
        does.
    further : tuple of dict
        Tables to be read beside it, of the publication or of others on the same network.
    """

    citation: str
    data: str
    note: str
    arm: str = ""
    table: dict[str, Any] | None = None
    condition: str = ""
    further: tuple[dict[str, Any], ...] = ()


def publication_of(system: str, recipe: Recipe | None) -> Publication | None:
    """The publication behind a manifest's ``system``, or None.

    Parameters
    ----------
    system : str
        As the manifest has it.
    recipe : Recipe or None
        Tells which arm of the publication was followed; without it there are no figures.
    """
    text = resources.files("model_store.reports").joinpath(_FILE).read_text("utf-8")
    entry = tomllib.loads(text).get(system)
    if entry is None:
        return None
    found = None if recipe is None else arm_of(recipe)
    if found is None:
        return Publication(**entry)
    table, arm = found
    further = tuple(
        _grid(other) if other.series else _plain(other) for other in FURTHER.get(table.source, ())
    )
    return Publication(
        **entry, arm=arm, table=_plain(table), condition=table.condition, further=further
    )


def _plain(table: PaperTable) -> dict[str, Any]:
    lines: dict[str, Figures] = {"input": table.noisy} if table.noisy is not None else {}
    lines |= table.filters | table.arms
    kinds = {"psnr": "PSNR", "ssim": "SSIM", "pdr": "PDR", "parameters": "parameters"}
    kept = [kind for kind in kinds if any(getattr(item, kind) for item in lines.values())]
    training = f" Trained on {table.training}." if table.training else ""
    return {
        "title": table.source,
        "note": f"{table.setting[:1].upper()}{table.setting[1:]}.{training}",
        "columns": ["", *(kinds[kind] for kind in kept)],
        "rows": [[name, *(getattr(item, kind) for kind in kept)] for name, item in lines.items()],
    }


def _grid(table: PaperTable) -> dict[str, Any]:
    """A study of factors: a row a weight, a column a factor, which ends the arm's name."""
    (first, *_) = table.series
    return {
        **_plain(table),
        "columns": ["PDR by factor", *(_factor(arm) for arm in first)],
        "rows": [
            [members[0].partition("-")[0], *(table.arms[arm].pdr for arm in members)]
            for members in table.series
        ],
    }


def _factor(arm: str) -> str:
    return arm.partition("-")[2] or "1"

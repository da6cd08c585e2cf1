"""The publication behind a system, and what it reports for the arm that a recipe follows.

Measured by its authors, on their data: never a result of a model version here.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from importlib import resources
from typing import Any

from model_store.evaluation.papers import Figures, PaperTable, arm_of
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
        ``title``, ``note``, ``columns``, ``rows`` of its figures; None where it has pictures alone.
    """

    citation: str
    data: str
    note: str
    arm: str = ""
    table: dict[str, Any] | None = None


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
    return Publication(**entry, arm=arm, table=_plain(table))


def _plain(table: PaperTable) -> dict[str, Any]:
    lines: dict[str, Figures] = {"input": table.noisy} if table.noisy is not None else {}
    lines |= table.filters | table.arms
    kinds = ("psnr", "ssim", "pdr")
    kept = [kind for kind in kinds if any(getattr(item, kind) for item in lines.values())]
    training = f" Trained on {table.training}." if table.training else ""
    return {
        "title": table.source,
        "note": f"{table.setting[:1].upper()}{table.setting[1:]}.{training}",
        "columns": ["", *(kind.upper() for kind in kept)],
        "rows": [[name, *(getattr(item, kind) for kind in kept)] for name, item in lines.items()],
    }

"""Evaluation of a model version on held-out data: tables for its manifest and card."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from model_store.evaluation.ct import ct_cases, ct_spectra, ct_sweep
from model_store.evaluation.session import ReleasedModel
from model_store.evaluation.trial import OWN, Trial, run_trial
from model_store.evaluation.xray import xray_cases, xray_sweep
from model_store.training.recipe import CtData, Recipe

_METHODS = (
    "input",
    "gaussian",
    "median",
    "bilateral",
    "bm3d-mad",
    "bm3d",
    "model",
    "model-strength",
)
_FILTER_NOTE = (
    "Mean over images. Every filter is at its best setting for each image and metric (chosen "
    "against the reference, which no user has); `bm3d` at the best multiple of the true standard "
    "deviation, `bm3d-mad` with the standard deviation estimated from the image. `model` is the "
    "version as released, without any setting; `model-strength` the best of the strengths 0.5 to 1 "
    "(the filters' counterpart). Central crops."
)


def evaluate_version(
    folder: Path, data: Path, *, quick: bool = False, earlier: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Measure the version in `folder` on the data that its recipe held out.

    Parameters
    ----------
    folder : Path
        ``<zoo>/<name>/<version>``.
    data : Path
        Folder that the recipe's held-out folders and files are below.
    quick : bool
        Fewer images and coarser grids.
    earlier : dict, optional
        Results of this function for another version on the same data; filters, which do not
        depend on the model, are taken from there.

    Returns
    -------
    dict
        ``summary`` (``tables`` and ``headline``, for manifest and card) and ``trials`` (all
        numbers).

    Raises
    ------
    DataError
        If held-out data are missing or unreadable.
    ManifestError, RecipeError
        If the folder holds no version.
    """
    model = ReleasedModel(folder)
    recipe = Recipe.read(folder / "recipe.toml")
    if isinstance(recipe.data, CtData):
        cases, sweep = ct_cases(recipe, data, quick=quick), ct_sweep(model, recipe, data)
        extra = [ct_spectra(data)]
        sweep_title = "Validity: windowed PSNR (400 HU) against the noise in soft tissue, held-out"
    else:
        cases, sweep = xray_cases(recipe, data, quick=quick), xray_sweep(model, recipe, data)
        extra = []
        sweep_title = "Validity: PSNR against the noise of the input, held-out files"
    known = {
        (item["group"], item["name"]): item["scores"] for item in (earlier or {}).get("trials", [])
    }
    trials = [
        run_trial(case, model, quick=quick, known=known.get((case.group, case.name)))
        for case in cases
    ]
    tables = [*_tables(trials), {"title": sweep_title, **sweep}, *extra]
    return {
        "summary": {"headline": _headline(trials), "tables": tables},
        "trials": [trial.as_dict() for trial in trials],
    }


def print_summary(results: dict[str, Any], console: Console) -> None:
    """Print the tables of an evaluation."""
    for item in results["summary"]["tables"]:
        table = Table(*item["columns"], title=item["title"])
        for row in item["rows"]:
            table.add_row(*("" if cell is None else str(cell) for cell in row))
        console.print(table)


def _tables(trials: list[Trial]) -> list[dict[str, Any]]:
    groups: dict[str, list[Trial]] = defaultdict(list)
    for trial in trials:
        groups[trial.group].append(trial)
    tables: list[dict[str, Any]] = []
    for group, members in groups.items():
        metrics = list(members[0].scores["model"])
        rows: list[list[str | float | None]] = []
        for method in (name for name in _METHODS if name in members[0].scores):
            means = [
                round(float(np.mean([member.scores[method][metric] for member in members])), 4)
                if metric in members[0].scores[method]
                else None
                for metric in metrics
            ]
            rows.append([method, *means])
        tables.append(
            {
                "title": f"{group} ({len(members)} images)",
                "note": _FILTER_NOTE if not tables else "",
                "columns": ["method", *metrics],
                "rows": rows,
            }
        )
    return tables


def _headline(trials: list[Trial]) -> dict[str, Any]:
    """Per group: PSNR in and out, the best filter's, and on how many images the model wins."""
    groups: dict[str, list[Trial]] = defaultdict(list)
    for trial in trials:
        groups[trial.group].append(trial)
    result: dict[str, Any] = {}
    for group, members in groups.items():
        metric = members[0].main
        filters = [name for name in _METHODS if name not in OWN and name in members[0].scores]
        best = [max(member.scores[name][metric] for name in filters) for member in members]
        model = [member.scores["model"][metric] for member in members]
        tuned = [member.scores["model-strength"][metric] for member in members]
        plain = [m.scores["bm3d-mad"][metric] for m in members if "bm3d-mad" in m.scores]
        result[group] = {
            "metric": metric,
            "input": round(float(np.mean([m.scores["input"][metric] for m in members])), 2),
            "model": round(float(np.mean(model)), 2),
            "model_best_strength": round(float(np.mean(tuned)), 2),
            "bm3d_estimated_noise": round(float(np.mean(plain)), 2) if plain else None,
            "best_filter_setting": round(float(np.mean(best)), 2),
            "images": len(members),
            "won_against_best_setting": int(sum(a > b for a, b in zip(tuned, best, strict=True))),
        }
    return result

"""Evaluation of a model version on held-out data: tables for its manifest and card."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from model_store.evaluation.ct import PAIRS, ct_cases, ct_spectra
from model_store.evaluation.filter_file import FilterFile
from model_store.evaluation.groups import Group, tables
from model_store.evaluation.lpips import DESCRIPTION, Lpips
from model_store.evaluation.margins import margins
from model_store.evaluation.pairs import pair_cases
from model_store.evaluation.session import MeasuredModel, ReleasedModel
from model_store.evaluation.trial import Case, Trial, run_trial
from model_store.evaluation.validity import measure_validity
from model_store.evaluation.xray import xray_cases
from model_store.manifest import Validity
from model_store.terminal import show_whole
from model_store.training.noise import ProjectionNoise, as_stored
from model_store.training.pairs.listing import Told, nobody
from model_store.training.pairs.section import PairsData
from model_store.training.recipe import CtData, Recipe
from model_store.training.recipe_of import data_recipe, own_recipe

_NOT_ITS_OWN = (
    "These are the images that the recipe %s held out, with its noise, which is not what this "
    "version was trained by: whether its training saw any of them is not known here."
)


def evaluate_version(
    folder: Path,
    data: Path,
    *,
    weights: Path | None = None,
    filters: FilterFile | None = None,
    pairs: PairsData | None = None,
    data_of: str | None = None,
    quick: bool = False,
    threads: int = 0,
    told: Told = nobody,
) -> dict[str, Any]:
    """Measure the version in `folder` on the data that its recipe held out, or on pairs.

    Parameters
    ----------
    folder : Path
        ``<zoo>/<name>/<version>``.
    data : Path
        Folder that the recipe's held-out folders and files, or the pairs, are below.
    weights : Path, optional
        Folder with the weights of LPIPS; without it the perceptual distance is left out.
    filters : FilterFile, optional
        Where the filters' scores come from; without it there are no filters.
    pairs : PairsData, optional
        Pairs to measure on instead; those of the recipe's patients for the test if it was trained
        on pairs.
    data_of : str, optional
        Whose held-out data to measure on, as of `model_store.training.recipe_of.data_recipe`.
    quick : bool
        Fewer images and levels.
    threads : int
        Processor threads; 0 leaves the choice to ONNX Runtime.
    told : callable
        Is told how far the reading of pairs is.

    Returns
    -------
    dict
        ``summary`` (``tables``, ``headline`` and ``margin``, for manifest and card), ``validity``
        (of the manifest; None for pairs, to which no noise is added), ``trials`` (all numbers) and
        ``refused`` (pairs, with the reason).

    Raises
    ------
    DataError
        If held-out data are missing or unreadable, or the weights are not those of LPIPS.
    ManifestError, RecipeError
        If the folder holds no version.
    """
    model = ReleasedModel(folder, threads)
    trained_by = own_recipe(folder, model.manifest)
    of_data = trained_by if pairs is not None else data_recipe(folder, model.manifest, data_of)
    perceptual = None if weights is None else Lpips(weights)
    section = pairs
    if section is None and of_data is not None and isinstance(of_data.data, PairsData):
        section = of_data.data
    measured = None
    drawn = None if section is not None else of_data
    cases: Iterable[Case] = ()
    if drawn is not None:
        cases = cases_of(drawn, data, perceptual, quick=quick)
    elif section is not None:
        units = model.manifest.input.units
        cases, measured = pair_cases(section, units, data, perceptual, quick=quick, told=told)
    trials = [trial_of(case, model, filters) for case in cases]
    groups = Group.of(trials)
    margin = margins(groups, trained_by, model.manifest.metrics.get("training", {}))
    shown = tables(groups)
    if perceptual is None:
        missing = " The perceptual distance (PDR) is left out: its weights were not given."
    else:
        missing = f" PDR is {DESCRIPTION}; for CT in the 400 HU window."
    shown[0]["note"] += missing
    if measured is not None:
        shown[0]["note"] = f"{measured.note} {shown[0]['note']}"
    if filters is not None:
        shown.append(margin["table"])
    validity = None
    if of_data is not None and of_data != trained_by:
        shown[0]["note"] = f"{_NOT_ITS_OWN % of_data.name} {shown[0]['note']}"
    if drawn is not None:
        noise = model.manifest.trained_noise
        trained = None if drawn == trained_by else (noise.minimum_sd, noise.maximum_sd)
        validity = _swept(model, drawn, data, shown, trained=trained, quick=quick)
    summary = {
        "headline": _headline(groups),
        "margin": margin["statement"] if filters is not None else "",
        "tables": shown,
    }
    return {
        "summary": summary,
        "validity": None if validity is None else validity.model_dump(mode="json"),
        "trials": [trial.as_dict() for trial in trials],
        "refused": [] if measured is None else measured.tally.refused,
    }


def _swept(
    model: ReleasedModel,
    recipe: Recipe,
    data: Path,
    shown: list[dict[str, Any]],
    *,
    trained: tuple[float, float] | None,
    quick: bool,
) -> Validity:
    """The sweep over levels of the recipe's noise; adds what it shows to the tables."""
    noise = None if isinstance(recipe.data, PairsData) else recipe.data.noise
    beyond = noise is not None and not as_stored(noise)
    validity, sweep = measure_validity(
        partial(model, beyond=beyond), recipe, data, trained=trained, quick=quick
    )
    shown.append(sweep)
    held_out = recipe.data.held_out if isinstance(recipe.data, CtData) else ()
    if PAIRS in held_out and isinstance(noise, ProjectionNoise):
        shown.append(ct_spectra(data))
    return validity


def cases_of(
    recipe: Recipe, data: Path, perceptual: Lpips | None, *, quick: bool = False
) -> Iterator[Case]:
    """Cases that a recipe's model is measured on; see `ct_cases`, `xray_cases`, `pair_cases`."""
    if isinstance(recipe.data, PairsData):
        return pair_cases(recipe.data, recipe.input.units, data, perceptual, quick=quick)[0]
    cases = ct_cases if isinstance(recipe.data, CtData) else xray_cases
    return cases(recipe, data, perceptual, quick=quick)


def trial_of(case: Case, model: MeasuredModel, filters: FilterFile | None) -> Trial:
    """Run one case, on as much around the crop as the network looks at."""
    settings = None if filters is None else filters.of(case)
    return run_trial(case, partial(model, beyond=case.beyond), settings, margin=model.margin)


def print_summary(results: dict[str, Any], console: Console) -> None:
    """Print the tables of an evaluation, and whether the arms are in the publication's order."""
    for item in results["summary"]["tables"]:
        table = Table(*item["columns"], title=item["title"])
        for row in item["rows"]:
            table.add_row(*("" if cell is None else str(cell) for cell in row))
        show_whole(console, table)
        if item.get("note"):
            console.print(item["note"], highlight=False)
    if results["summary"].get("margin"):
        console.print(results["summary"]["margin"], highlight=False)
    for statement in results["summary"].get("orders", []):
        console.print(statement, highlight=False, soft_wrap=True)


def _headline(groups: list[Group]) -> dict[str, Any]:
    """Per condition: PSNR in and out, the best filter's, and on how many images the model wins."""
    result: dict[str, Any] = {}
    for group in groups:
        metric = group.main
        entry: dict[str, Any] = {"metric": metric, "images": len(group.trials)}
        for key, method in (
            ("input", "input"),
            ("model", "model"),
            ("model_best_strength", "model-strength"),
            ("bm3d_estimated_noise", "bm3d-mad"),
        ):
            value = group.mean(method, metric)
            entry[key] = None if value is None else round(value, 2)
        if group.trials[0].settings:
            best = [_best_filter(trial) for trial in group.trials]
            tuned = [trial.scores["model-strength"][metric] for trial in group.trials]
            entry["best_filter_setting"] = round(float(np.mean(best)), 2)
            entry["won_against_best_setting"] = sum(
                ours > theirs for ours, theirs in zip(tuned, best, strict=True)
            )
        result[group.name] = entry
    return result


def _best_filter(trial: Trial) -> float:
    """The best filter's score of a trial, in its main metric."""
    return max(trial.scores[name][trial.main] for name in trial.settings)

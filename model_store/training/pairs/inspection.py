"""All pairs of a recipe, read and checked without training."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from model_store.errors import RecipeError
from model_store.training.pairs.checking import Tally, check_pairs
from model_store.training.pairs.finding import find_pairs
from model_store.training.pairs.listing import SIDES, Told, nobody, some
from model_store.training.pairs.section import PairsData
from model_store.training.recipe import Recipe

_ROUGH = 0.7


@dataclass(frozen=True, slots=True)
class Inspection:
    """What was found.

    Parameters
    ----------
    rows : tuple
        Side, patients, pairs that passed, range of the noise.
    lines : tuple of str
        Shifts, and what was left out.
    """

    rows: tuple[tuple[str, str, str, str], ...]
    lines: tuple[str, ...]


def inspect_pairs(recipe_path: Path, data: Path, told: Told = nobody) -> Inspection:
    """Find, read and check the pairs of a recipe, those for the test among them.

    Raises
    ------
    RecipeError
        If the recipe is malformed, or not of pairs.
    DataError
        As training does, but for a side that has nobody.
    """
    recipe = Recipe.read(recipe_path)
    section, units = recipe.data, recipe.input.units
    if not isinstance(section, PairsData):
        raise RecipeError(f'{recipe.name}: is not trained on pairs; state data.kind = "pairs"')
    listing = find_pairs(section, data, told)
    tally = Tally()
    noise: dict[str, list[float]] = defaultdict(list)
    shifts: list[float] = []
    for found in check_pairs(section, units, listing.pairs, tally, told):
        noise[str(found.pair.side)].append(found.noise_sd)
        if found.shift_px is not None:
            shifts.append(found.shift_px)
    tally.require(section)
    unit = "HU" if units == "HU" else "of the range"
    rows = []
    for side in SIDES:
        patients = len({pair.patient for pair in listing.pairs if pair.side == side})
        levels = noise[side]
        text = f"{min(levels):.3g} to {max(levels):.3g} {unit}" if levels else ""
        rows.append((side, str(patients), str(len(levels)), text))
    lines = []
    if shifts:
        lines.append(f"shift: median {np.median(shifts):.2f}, largest {max(shifts):.2f} pixels")
    for count, text in (
        (tally.untold, "pairs in which nothing tells a shift"),
        (tally.empty, "pairs of even grey, left out"),
    ):
        if count:
            lines.append(f"{text}: {count}")
    for names, text in ((tally.refused, "refused"), (listing.alone, "without a partner")):
        if names:
            lines.append(f"{text}: {len(names)} ({some(names)})")
    lines += _rough(section, [int(row[1]) for row in rows])
    return Inspection(tuple(rows), tuple(lines))


def _rough(section: PairsData, patients: list[int]) -> list[str]:
    """A hint where few patients were dealt far from the shares that the recipe states."""
    every = sum(patients)
    training = 1 - section.validation - section.test
    if section.table is not None or patients[0] >= _ROUGH * training * every:
        return []
    return [
        f"only {patients[0]} of {every} patients are for training: another data.split_seed "
        "distributes them anew, or the column split of a table states who is where"
    ]

"""Evaluation on pairs of images as they are: no noise is drawn.

Against a clean partner the scores are what they are elsewhere. Against a second exposure they
are not: its noise is in every score, also in that of a perfect result. The noise of two exposures
being independent, half of their mean squared difference is the variance of one, and what a result
has beyond that against the other exposure is its own error (Lehtinen et al. 2018, equation 1).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from model_store.errors import RecipeError
from model_store.evaluation import ct, xray
from model_store.evaluation.lpips import Lpips
from model_store.evaluation.trial import Case
from model_store.training.ct_patches import soft_tissue
from model_store.training.pairs.checking import CheckedPair, Tally, check_pairs
from model_store.training.pairs.finding import find_pairs
from model_store.training.pairs.listing import Pair, Told, nobody
from model_store.training.pairs.section import PairsData
from model_store.training.pairs.split import require
from model_store.training.readers.values import Units
from model_store.training.recipe import plain
from model_store.training.recipe_file import read_toml

Floats = NDArray[np.float32]

CLEAN = "pairs, against the clean one"
NOISY = "pairs, against the other exposure"

MOST = 24
"""Pairs that are measured, spread over the patients."""

MOST_QUICK = 4
_CT_SIDE, _XRAY_SIDE = 224, 192


@dataclass(slots=True)
class PairsNote:
    """What was measured on, in words for a table's note; complete when the cases are taken.

    Parameters
    ----------
    target : {"clean", "noisy"}
        What the partners are.
    tally : Tally
        What was read and refused.
    patients : int
        Who is in the pairs.
    alone : int
        Files without a partner.
    """

    target: str
    tally: Tally
    patients: int
    alone: int

    @property
    def note(self) -> str:
        """Counts, and what the reference is."""
        parts = [
            f"Pairs: {self.tally.kept}; patients, all for the test: {self.patients}; largest "
            f"shift: {self.tally.largest_shift:.2f} pixels."
        ]
        if self.tally.refused:
            parts.append(f"Refused: {len(self.tally.refused)}.")
        if self.alone:
            parts.append(f"Files without a partner: {self.alone}.")
        if self.target == "noisy":
            parts.append(
                "The reference is the other exposure, each of the two in turn: its noise is in "
                "every score, and bounds it for a perfect result too. The noise below is what is "
                "left when half of the squared difference of both exposures is taken off; it "
                "holds if their noise is independent and equally strong."
            )
        else:
            parts.append(
                "The reference is the partner as it is; noise of its own counts as signal."
            )
        return " ".join(parts)


def read_section(path: Path) -> PairsData:
    """``[data]`` of a recipe, or of a file that has nothing else.

    Raises
    ------
    RecipeError
        If it cannot be read, or is not of pairs.
    """
    content = read_toml(path).get("data")
    if not isinstance(content, dict) or content.get("kind") != "pairs":
        raise RecipeError(f'{path}: has no [data] of kind = "pairs"')
    try:
        return PairsData.model_validate(content)
    except ValidationError as error:
        raise RecipeError(f"{path}: {plain(error)}") from error


def pair_cases(
    section: PairsData,
    units: Units,
    data: Path,
    perceptual: Lpips | None = None,
    *,
    quick: bool = False,
    told: Told = nobody,
) -> tuple[Iterator[Case], PairsNote]:
    """Cases of the pairs whose patients are for the test.

    Parameters
    ----------
    section : PairsData
        Where the pairs are.
    units : {"HU", "stored"}
        Of the model.
    data : Path
        Folder that the section's paths are below.
    perceptual : Lpips, optional
        Without it there is no perceptual distance.
    quick : bool
        Fewer pairs.
    told : callable
        Is told how far the reading is.

    Raises
    ------
    DataError
        If no pair is for the test, files are unreadable or do not fit together, or too many are
        refused.
    """
    listing = find_pairs(section, data, told)
    require(section, listing.pairs, "test")
    patients: dict[str, list[Pair]] = {}
    for pair in listing.pairs:
        if pair.side == "test":
            patients.setdefault(pair.patient, []).append(pair)
    most = MOST_QUICK if quick else MOST
    chosen = ct.spread(list(patients.values()), most)
    measured = PairsNote(section.target, Tally(), len(chosen), len(listing.alone))
    found = _checked(section, units, chosen, max(1, most // len(chosen)), measured.tally)
    return _cases(section, units, found, perceptual), measured


def _checked(
    section: PairsData,
    units: Units,
    patients: Sequence[Sequence[Pair]],
    each: int,
    tally: Tally,
) -> Iterator[tuple[str, CheckedPair]]:
    """As many pairs of every patient, spread over the files and over the slices of volumes."""
    for number, pairs in enumerate(patients, 1):
        files = ct.spread(pairs, each)
        slices = max(1, each // len(files))
        for index, found in enumerate(check_pairs(section, units, files, tally, slices=slices), 1):
            yield f"patient {number}, pair {index}", found
    tally.require(section)


def _cases(
    section: PairsData,
    units: Units,
    found: Iterable[tuple[str, CheckedPair]],
    perceptual: Lpips | None,
) -> Iterator[Case]:
    for name, pair in found:
        if section.target == "clean":
            yield _case(CLEAN, name, (pair.noisy, pair.partner), units, perceptual)
        else:
            yield _case(NOISY, name, (pair.noisy, pair.partner), units, perceptual)
            yield _case(NOISY, f"{name}, other way", (pair.partner, pair.noisy), units, perceptual)


def _case(
    group: str, name: str, images: tuple[Floats, Floats], units: Units, perceptual: Lpips | None
) -> Case:
    noisy, reference = images
    hounsfield = units == "HU"
    kind = ct if hounsfield else xray
    facts = _beyond_the_other(hounsfield) if group == NOISY else kind.facts
    middle = ct.middle_of(reference) if hounsfield else tuple(side // 2 for side in noisy.shape)
    return Case(
        group,
        name,
        noisy,
        reference,
        (middle[0], middle[1]),
        kind.scorer(perceptual),
        kind.MAIN,
        facts,
        size=_CT_SIDE if hounsfield else _XRAY_SIDE,
    )


def _beyond_the_other(hounsfield: bool) -> Callable[[Floats, Floats, Floats], dict[str, float]]:
    """Facts against a second exposure: noise less what that has itself, and bias."""

    def facts(image: Floats, noisy: Floats, other: Floats) -> dict[str, float]:
        chosen = soft_tissue(other) if hounsfield else np.ones(other.shape, bool)
        factor, unit = (1.0, "HU") if hounsfield else (1e3, "1e-3")
        own = float(np.var((noisy - other)[chosen], dtype=np.float64)) / 2
        left = float(np.var((image - other)[chosen], dtype=np.float64)) - own
        return {
            f"noise {unit}": factor * max(left, 0.0) ** 0.5,
            f"bias {unit}": factor * float((image - noisy)[chosen].mean()),
        }

    return facts

"""What a run was trained on, in numbers: for its log and for the model card."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from model_store.errors import RecipeError
from model_store.training.pairs.checking import Tally
from model_store.training.pairs.listing import SIDES, Listing
from model_store.training.pairs.section import PairsData

FACTS = "pairs.json"
"""Name of the record in a run's folder."""

_NAMED = ("refused", "alone")


@dataclass(frozen=True, slots=True)
class Facts:
    """Pairs of a run; no identifier of anybody.

    Parameters
    ----------
    target : str
        "clean" or "noisy".
    pairs, patients : dict of str to int
        Pairs of slices that were kept, and patients, for training and validation; patients for the
        test, whose pairs a run does not read.
    largest_shift : float
        Of the pairs kept, in pixels.
    untold : int
        Pairs in which nothing told a shift.
    empty : int
        Pairs of even grey, left out.
    noise_sd : pair of float
        Least and greatest standard deviation of the noise over the pairs for training, in HU or
        fractions of the full range.
    refused, alone : list of str
        Pairs that were refused, with the reason, and files without a partner, by their paths.
    """

    target: str
    pairs: dict[str, int]
    patients: dict[str, int]
    largest_shift: float
    untold: int
    empty: int
    noise_sd: tuple[float, float]
    refused: list[str]
    alone: list[str]

    @classmethod
    def of(
        cls,
        section: PairsData,
        listing: Listing,
        tally: Tally,
        kept: Sequence[tuple[str, float]],
    ) -> Facts:
        """Count; `kept` has side and noise of every pair that passed."""
        levels = [noise for side, noise in kept if side == "training"]
        return cls(
            target=section.target,
            pairs={side: sum(one == side for one, _ in kept) for side in SIDES[:2]},
            patients={
                side: len({pair.patient for pair in listing.pairs if pair.side == side})
                for side in SIDES
            },
            largest_shift=round(tally.largest_shift, 3),
            untold=tally.untold,
            empty=tally.empty,
            noise_sd=(float(f"{min(levels):.4g}"), float(f"{max(levels):.4g}")),
            refused=list(tally.refused),
            alone=list(listing.alone),
        )

    def numbers(self) -> dict[str, Any]:
        """All of it but names: what a manifest holds."""
        found = asdict(self)
        return {key: len(value) if key in _NAMED else value for key, value in found.items()}

    def write(self, folder: Path) -> None:
        """Write ``pairs.json`` into a run's folder."""
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(asdict(self), indent=2, ensure_ascii=False)
        (folder / FACTS).write_text(text + "\n", encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> Facts:
        """Read what `write` wrote.

        Raises
        ------
        RecipeError
            If it is not there, or not that.
        """
        try:
            content = json.loads((folder / FACTS).read_text(encoding="utf-8"))
            low, high = content.pop("noise_sd")
            return cls(**content, noise_sd=(float(low), float(high)))
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise RecipeError(f"{folder / FACTS}: not the pairs of a run: {error}") from error


def sentence(numbers: Mapping[str, Any]) -> str:
    """What a card says of the pairs, from `Facts.numbers`."""
    pairs, patients = numbers["pairs"], numbers["patients"]
    kind = "noisy and clean" if numbers["target"] == "clean" else "noisy and noisy, both ways"
    parts = [
        f"Pairs ({kind}), by patient: {pairs['training']:,} ({patients['training']}) for training, "
        f"{pairs['validation']:,} ({patients['validation']}) for validation; patients kept for the "
        f"test: {patients['test']}.",
        f"Largest shift between two of a pair: {numbers['largest_shift']:.2f} pixels.",
    ]
    for key, text in (
        ("refused", "Refused, because shifted by more than the recipe allows or not alike"),
        ("alone", "Files without a partner, left out"),
        ("untold", "Pairs in which nothing tells a shift"),
        ("empty", "Pairs of even grey, left out"),
    ):
        if numbers[key]:
            parts.append(f"{text}: {numbers[key]:,}.")
    return " ".join(parts)

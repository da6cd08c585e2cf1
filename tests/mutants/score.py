"""The score: which mutants of each area were killed, which were not, and which do not count."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.mutants.mutant import Mutant

FOLDER: Final = Path(__file__).resolve().parent
SCORE: Final = FOLDER / "score.json"
EQUIVALENT: Final = FOLDER / "equivalent.toml"
ASKED: Final = 0.9
"""Part of the mutants of every area that must be killed."""


@dataclass(frozen=True)
class Score:
    """What became of the mutants of an area.

    Attributes
    ----------
    generated : int
        All that its code has.
    verdicts : mapping of str to str
        Of the sample, by key.
    equivalent : frozenset of str
        Keys of the sample that change nothing anybody could see.
    """

    generated: int
    verdicts: Mapping[str, str]
    equivalent: frozenset[str]

    @property
    def counted(self) -> list[str]:
        """Keys of those that count."""
        return [key for key in self.verdicts if key not in self.equivalent]

    @property
    def killed(self) -> int:
        """How many of them a test noticed."""
        return sum(self.verdicts[key].startswith("killed") for key in self.counted)

    @property
    def survivors(self) -> list[str]:
        """Keys of those that no test noticed."""
        return sorted(key for key in self.counted if not self.verdicts[key].startswith("killed"))

    @property
    def part(self) -> float:
        """Part that was killed, 0 to 1."""
        return self.killed / len(self.counted) if self.counted else 0.0

    def as_json(self) -> dict[str, Any]:
        """For the file."""
        return {
            "generated": self.generated,
            "counted": len(self.counted),
            "killed": self.killed,
            "percent": round(100 * self.part, 1),
            "equivalent": sorted(self.equivalent),
            "survived": {key: self.verdicts[key] for key in self.survivors},
        }


def equivalents(path: Path = EQUIVALENT) -> dict[str, str]:
    """Keys of mutants that are no other program, each with the reason."""
    return dict(tomllib.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}


def score_of(
    generated: int, sampled: Iterable[Mutant], verdicts: Mapping[str, str], known: Iterable[str]
) -> Score:
    """Put the verdicts of a sample together."""
    keys = [mutant.key for mutant in sampled]
    return Score(
        generated, {key: verdicts[key] for key in keys}, frozenset(keys) & frozenset(known)
    )


def write(scores: Mapping[str, Score], seed: int, path: Path = SCORE) -> None:
    """Write the areas that were run; those that were not stay as they are in the file."""
    document = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    areas = document.get("areas", {}) if document.get("seed") == seed else {}
    areas |= {name: score.as_json() for name, score in scores.items()}
    text = json.dumps({"seed": seed, "areas": areas}, indent=1, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")


def line(name: str, score: Score) -> str:
    """One line for a person."""
    return (
        f"{name:12} {score.killed:3} of {len(score.counted):3} killed, {100 * score.part:5.1f} %"
        f" ({len(score.equivalent)} equivalent, {score.generated} in all)"
    )

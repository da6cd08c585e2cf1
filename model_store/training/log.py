"""The log of a run: one JSON object a line, for plots and for whoever asks what happened."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

LOG = "log.jsonl"
"""Name of the log in a run's folder."""


class TrainingLog:
    """Means over the iterations between two lines.

    Parameters
    ----------
    path : Path
        File to add lines to; lines of iterations after `step` (of a part of the run that was lost)
        are taken out first.
    step : int
        Iterations done so far.
    every : int
        Iterations a line stands for.
    """

    def __init__(self, path: Path, step: int, every: int = 20) -> None:
        self._path = path
        self._every = every
        self._sums: dict[str, float] = defaultdict(float)
        self._count = 0
        self._pending: dict[str, float] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
            path.write_text("".join(line for line in lines if _step(line) <= step), "utf-8")

    def add(self, step: int, seconds: float, rate: float, values: Mapping[str, float]) -> None:
        """Count one iteration in; write a line when `every` are together.

        Parameters
        ----------
        step : int
            Iterations done with this one.
        seconds : float
            Seconds of training so far.
        rate : float
            The generator's learning rate.
        values : mapping of str to float
            Loss and its terms.
        """
        for key, value in values.items():
            self._sums[key] += value
        self._count += 1
        self._pending = {
            "step": step,
            "seconds": round(seconds, 1),
            "rate": float(f"{rate:.4g}"),
        }
        if step % self._every == 0:
            self.flush()

    def flush(self) -> None:
        """Write what was counted in since the last line, if anything."""
        if not self._count:
            return
        means = {key: float(f"{value / self._count:.6g}") for key, value in self._sums.items()}
        line = {**self._pending, **means}
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        self._sums.clear()
        self._count = 0


def note(path: Path, step: int, what: Mapping[str, object]) -> None:
    """Add a line that is no mean over iterations, such as what a run is trained on."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps({"step": step, **what}) + "\n")


def _step(line: str) -> float:
    """Iteration of a line; infinite for one that was not written to its end."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return float("inf")

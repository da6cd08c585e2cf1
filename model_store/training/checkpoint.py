"""Checkpoints: safetensors for every tensor, JSON for the rest, no pickle."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from model_store.errors import RecipeError

WEIGHTS = "weights.safetensors"
AVERAGE = "average.safetensors"
OPTIMISER = "optimiser.safetensors"
STATE = "state.json"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is.

    Parameters
    ----------
    step : int
        Iterations done.
    iterations : int
        Iterations planned; the learning rate follows their ratio.
    seconds : float
        Wall time spent so far, over all resumed parts.
    loss : float
        Smoothed loss.
    """

    step: int
    iterations: int
    seconds: float
    loss: float


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """All that is needed to go on: weights, their average, the optimiser's moments, progress."""

    progress: Progress
    weights: dict[str, Tensor]
    average: dict[str, Tensor]
    optimiser: dict[str, Tensor]

    def write(self, folder: Path) -> None:
        """Write to `folder`; `state.json` last, each file replaced atomically."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, tensors in (
            (WEIGHTS, self.weights),
            (AVERAGE, self.average),
            (OPTIMISER, self.optimiser),
        ):
            partial = folder / f"{name}.partial"
            save_file({key: value.detach().contiguous() for key, value in tensors.items()}, partial)
            partial.replace(folder / name)
        partial = folder / f"{STATE}.partial"
        partial.write_text(json.dumps(asdict(self.progress), indent=2) + "\n", encoding="utf-8")
        partial.replace(folder / STATE)

    @classmethod
    def read(cls, folder: Path) -> Checkpoint:
        """Read from `folder`.

        Raises
        ------
        RecipeError
            If there is no complete checkpoint.
        """
        try:
            state = json.loads((folder / STATE).read_text(encoding="utf-8"))
            progress = Progress(**state)
            parts = [load_file(folder / name) for name in (WEIGHTS, AVERAGE, OPTIMISER)]
        except (OSError, ValueError, TypeError, SafetensorError) as error:
            raise RecipeError(f"{folder}: no readable checkpoint: {error}") from error
        return cls(progress, *parts)

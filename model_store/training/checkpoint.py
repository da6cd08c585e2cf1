"""Checkpoints: safetensors for every tensor, JSON for the rest, no pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from model_store.errors import RecipeError

WEIGHTS = "weights.safetensors"
AVERAGE = "average.safetensors"
OPTIMISER = "optimiser.safetensors"
CRITIC = "critic.safetensors"
CRITIC_OPTIMISER = "critic_optimiser.safetensors"
STATE = "state.json"


@dataclass(frozen=True, slots=True)
class Plateau:
    """Where a schedule that follows validation is.

    Parameters
    ----------
    rate : float
        Factor on the recipe's learning rate.
    best : float, optional
        Best validation PSNR so far, dB.
    idle : int
        Epochs since then.
    """

    rate: float = 1.0
    best: float | None = None
    idle: int = 0

    def after(self, psnr: float, patience: int = 2) -> Plateau:
        """After an epoch of that validation PSNR: halve the rate at the second without a gain."""
        if self.best is None or psnr > self.best:
            return Plateau(self.rate, psnr, 0)
        if self.idle + 1 >= patience:
            return Plateau(self.rate / 2, self.best, 0)
        return Plateau(self.rate, self.best, self.idle + 1)


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
    hardware : str
        Where the last part ran: device and number of threads.
    plateau : Plateau
        State of the learning rate's schedule.
    """

    step: int
    iterations: int
    seconds: float
    loss: float
    hardware: str = ""
    plateau: Plateau = field(default_factory=Plateau)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """All that is needed to go on: weights, their average, the optimiser's moments, progress.

    `critic` and `critic_optimiser` are empty for a run without an adversary.
    """

    progress: Progress
    weights: dict[str, Tensor]
    average: dict[str, Tensor]
    optimiser: dict[str, Tensor]
    critic: dict[str, Tensor] = field(default_factory=dict)
    critic_optimiser: dict[str, Tensor] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Write to `folder`; `state.json` last, each file replaced atomically."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, tensors in (
            (WEIGHTS, self.weights),
            (AVERAGE, self.average),
            (OPTIMISER, self.optimiser),
            (CRITIC, self.critic),
            (CRITIC_OPTIMISER, self.critic_optimiser),
        ):
            if not tensors and name in {CRITIC, CRITIC_OPTIMISER}:
                continue
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
            plateau = Plateau(**state.pop("plateau", {}))
            progress = Progress(**state, plateau=plateau)
            parts = [load_file(folder / name) for name in (WEIGHTS, AVERAGE, OPTIMISER)]
            if (folder / CRITIC).exists():
                parts += [load_file(folder / name) for name in (CRITIC, CRITIC_OPTIMISER)]
        except (OSError, ValueError, TypeError, SafetensorError) as error:
            raise RecipeError(f"{folder}: no readable checkpoint: {error}") from error
        return cls(progress, *parts)


def optimiser_state(
    named: Mapping[str, nn.Parameter], optimiser: torch.optim.Optimizer
) -> dict[str, Tensor]:
    """Copies of an optimiser's tensors, named ``<parameter>/<key>``."""
    return {
        f"{name}/{key}": value.clone()
        for name, parameter in named.items()
        for key, value in optimiser.state.get(parameter, {}).items()
    }


def restore_optimiser(
    named: Mapping[str, nn.Parameter],
    optimiser: torch.optim.Optimizer,
    moments: Mapping[str, Tensor],
) -> None:
    """Put tensors that `optimiser_state` returned back into an optimiser."""
    optimiser.state.clear()
    for name, parameter in named.items():
        prefix = f"{name}/"
        state = {
            key.removeprefix(prefix): value.clone()
            for key, value in moments.items()
            if key.startswith(prefix)
        }
        # Adam counts its steps on the processor, whatever the device of the moments
        for key in state.keys() - {"step"}:
            state[key] = state[key].to(parameter.device)
        if state:
            optimiser.state[parameter] = state

"""The training loop: deterministic in seed and step, resumable, fitted to a time budget."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from model_store.errors import TrainingDivergedError
from model_store.training.checkpoint import Checkpoint, Progress
from model_store.training.losses import Loss
from model_store.training.patches import PatchSource
from model_store.training.recipe import TrainingSection

_MEASURED_STEPS = 20
_GRADIENT_NORM = 1.0
_WEIGHT_DECAY_OF_LOSS = 0.99

Report = Callable[[Progress], None]


class Trainer:
    """Trains one generator on one source of patches.

    Parameters
    ----------
    generator : nn.Module
        Network with a global residual or without; called as ``generator(x)``.
    source : PatchSource
        Batches by step.
    section : TrainingSection
        Optimisation settings.
    """

    def __init__(self, generator: nn.Module, source: PatchSource, section: TrainingSection) -> None:
        self.generator = generator.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._source = source
        self._section = section
        self._loss = Loss(section.loss)
        self._average = {key: value.clone() for key, value in generator.state_dict().items()}
        self._named = dict(generator.named_parameters())
        self._optimiser = torch.optim.Adam(self._named.values(), lr=section.learning_rate)
        self.progress = Progress(0, section.iterations, 0.0, math.nan)

    def run(
        self,
        folder: Path,
        *,
        report: Report | None = None,
        checkpoint_seconds: float = 120.0,
        until: int | None = None,
        budget: float | None = None,
    ) -> Progress:
        """Train to the planned number of iterations, with checkpoints in `folder`.

        Parameters
        ----------
        folder : Path
            Where checkpoints go.
        report : callable, optional
            Called after each iteration.
        checkpoint_seconds : float
            Seconds between checkpoints; the last iteration always writes one.
        until : int, optional
            Stop after this many iterations although more are planned.
        budget : float, optional
            Minutes from now. The plan is fitted to them from the time that iterations take, again
            and again, since a shared machine changes its pace; the learning rate follows the plan.

        Raises
        ------
        TrainingDivergedError
            If the loss or a weight stops being finite; the last checkpoint is kept as it was.
        """
        last = start = time.monotonic()
        first = self.progress.step
        if budget is not None and first >= self.progress.iterations:
            # a run that was done goes on: until its pace is known, plan half as much again
            planned = first + first // 2 + _MEASURED_STEPS
            self.progress = replace(self.progress, iterations=planned)
        while self.progress.step < min(self.progress.iterations, until or math.inf):
            if budget is not None:
                self._plan(first, time.monotonic() - start, budget * 60)
            begin = time.monotonic()
            loss = self._iterate(self.progress.step)
            if not math.isfinite(loss):
                raise TrainingDivergedError(
                    f"loss {loss} at iteration {self.progress.step}; "
                    f"the last good checkpoint is in {folder}"
                )
            done = self.progress
            smooth = (
                loss
                if math.isnan(done.loss)
                else (_WEIGHT_DECAY_OF_LOSS * done.loss + (1 - _WEIGHT_DECAY_OF_LOSS) * loss)
            )
            seconds = done.seconds + time.monotonic() - begin
            self.progress = Progress(done.step + 1, done.iterations, seconds, smooth)
            if report is not None:
                report(self.progress)
            if time.monotonic() - last > checkpoint_seconds:
                self.snapshot().write(folder)
                last = time.monotonic()
        self.snapshot().write(folder)
        return self.progress

    def snapshot(self) -> Checkpoint:
        """Everything needed to go on from here, copied."""
        moments: dict[str, Tensor] = {}
        for name, parameter in self._named.items():
            for key, value in self._optimiser.state.get(parameter, {}).items():
                moments[f"{name}/{key}"] = value.clone()
        return Checkpoint(
            self.progress,
            {key: value.clone() for key, value in self.generator.state_dict().items()},
            {key: value.clone() for key, value in self._average.items()},
            moments,
        )

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go back, or on, to `checkpoint`."""
        self.progress = checkpoint.progress
        self.generator.load_state_dict(checkpoint.weights)
        self._average = {key: value.clone() for key, value in checkpoint.average.items()}
        self._optimiser.state.clear()
        for name, parameter in self._named.items():
            prefix = f"{name}/"
            state = {
                key.removeprefix(prefix): value.clone()
                for key, value in checkpoint.optimiser.items()
                if key.startswith(prefix)
            }
            if state:
                self._optimiser.state[parameter] = state

    def _plan(self, first: int, spent: float, budget: float) -> None:
        """Fit the planned iterations to the seconds that are left."""
        done = self.progress
        if done.step < first + _MEASURED_STEPS or done.step % _MEASURED_STEPS:
            return
        left = int((budget - spent) / (spent / (done.step - first)))
        self.progress = replace(done, iterations=done.step + max(left, 1))

    def _iterate(self, step: int) -> float:
        section = self._section
        share = step / self.progress.iterations
        for group in self._optimiser.param_groups:
            group["lr"] = self._learning_rate(step, share)
        self.generator.train()
        if share >= section.freeze_norm_at:
            for layer in self.generator.modules():
                if isinstance(layer, nn.BatchNorm2d):
                    layer.eval()
        batch = self._source.batch(step)
        noisy = torch.from_numpy(batch.noisy).contiguous(memory_format=torch.channels_last)
        self._optimiser.zero_grad(set_to_none=True)
        reduced = section.precision == "bfloat16"
        with torch.autocast("cpu", torch.bfloat16, enabled=reduced):
            prediction = self.generator(noisy)
        loss = self._loss(prediction, torch.from_numpy(batch.clean), torch.from_numpy(batch.weight))
        value = float(loss.detach())
        if not math.isfinite(value):
            return value
        loss.backward()  # type: ignore[no-untyped-call]
        norm = float(nn.utils.clip_grad_norm_(self._named.values(), _GRADIENT_NORM))
        if not math.isfinite(norm):
            return norm
        self._optimiser.step()
        self._update_average(step)
        return value

    def _learning_rate(self, step: int, share: float) -> float:
        section = self._section
        low, high = section.final_learning_rate, section.learning_rate
        rate = low + (high - low) * 0.5 * (1 + math.cos(math.pi * min(share, 1.0)))
        return rate * min(1.0, (step + 1) / (section.warmup + 1))

    def _update_average(self, step: int) -> None:
        decay = min(self._section.average, (step + 1) / (step + 10))
        with torch.no_grad():
            for key, value in self.generator.state_dict().items():
                average = self._average[key]
                if value.is_floating_point():
                    average.mul_(decay).add_(value, alpha=1 - decay)
                else:
                    average.copy_(value)

"""The training loop: deterministic in seed and step, resumable, fitted to a time budget."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from model_store.errors import RecipeError, TrainingDivergedError
from model_store.generators.base import Generator, load_exactly
from model_store.training.adversary import Adversary
from model_store.training.checkpoint import (
    Checkpoint,
    Progress,
    optimiser_state,
    restore_optimiser,
)
from model_store.training.log import LOG, TrainingLog, note
from model_store.training.losses import Loss
from model_store.training.patches import Batch, PatchSource
from model_store.training.recipe import TrainingSection
from model_store.training.validation import VALIDATION, Validation

_MEASURED_STEPS = 20
_GRADIENT_NORM = 1.0
_WEIGHT_DECAY_OF_LOSS = 0.99
_EXTRA_BATCHES = 1 << 32  # batches that only the critic sees are numbered from here
_VALIDATION_BATCHES = 16

OnProgress = Callable[[Progress], None]


class Trainer:
    """Trains one generator on one source of patches.

    Parameters
    ----------
    generator : Generator
        Network to train; only its ``trained_parameters`` change.
    source : PatchSource
        Batches by step.
    section : TrainingSection
        Optimisation settings.
    loss : Loss, optional
        The section's loss on the network's own input range, if left out.
    adversary : Adversary, optional
        Critic to train against.
    device : torch.device, optional
        Where to compute; the processor if left out.
    validation : Validation, optional
        What is measured on patches that training does not draw; of the loss alone if left out.
    """

    def __init__(
        self,
        generator: Generator,
        source: PatchSource,
        section: TrainingSection,
        *,
        loss: Loss | None = None,
        adversary: Adversary | None = None,
        device: torch.device | None = None,
        validation: Validation | None = None,
    ) -> None:
        self.device = device or torch.device("cpu")
        self.generator = generator.to(self.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._source = source
        self._section = section
        self._loss = loss or Loss(section.loss, scale=section.loss_scale)
        self._adversary = adversary
        self._validation = validation or Validation(self._loss, adversary)
        self._average = {key: value.clone() for key, value in generator.state_dict().items()}
        self._named = dict(generator.trained_parameters())
        self._optimiser = torch.optim.Adam(
            self._named.values(), lr=section.learning_rate, betas=section.betas
        )
        self._parts: dict[str, float] = {}
        self.progress = Progress(0, section.iterations, 0.0, math.nan)

    def run(
        self,
        folder: Path,
        *,
        report: OnProgress | None = None,
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
        log = TrainingLog(folder / LOG, first)
        self.progress = replace(self.progress, hardware=self._hardware())
        if first == 0:
            self._validated(log, folder)
        if self._section.iterations == 0:
            budget = None
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
                    f"loss or gradient {loss} at iteration {self.progress.step} (batch "
                    f"{self.progress.step} of seed {self._section.seed}; {self._told()}); the last "
                    f"good checkpoint is in {folder}: look at that batch, or lower the learning "
                    "rate and resume"
                )
            done = self.progress
            smooth = (
                loss
                if math.isnan(done.loss)
                else (_WEIGHT_DECAY_OF_LOSS * done.loss + (1 - _WEIGHT_DECAY_OF_LOSS) * loss)
            )
            seconds = done.seconds + time.monotonic() - begin
            self.progress = replace(done, step=done.step + 1, seconds=seconds, loss=smooth)
            log.add(
                self.progress.step,
                seconds,
                self._learning_rate(done.step, done.step / done.iterations),
                {"loss": loss, **self._parts},
            )
            step, measured = self.progress.step, None
            if step % self._section.validate_every == 0:
                measured = self._validated(log, folder)
            if self._section.schedule == "plateau" and step % self._section.epoch == 0:
                plateau = self.progress.plateau.after((measured or self.validate())["PSNR"])
                self.progress = replace(self.progress, plateau=plateau)
            if report is not None:
                report(self.progress)
            if time.monotonic() - last > checkpoint_seconds:
                self.snapshot().write(folder)
                last = time.monotonic()
        log.flush()
        if self.progress.step > first and self.progress.step % self._section.validate_every:
            self._validated(log, folder)
        self.snapshot().write(folder)
        return self.progress

    def validate(self) -> dict[str, float]:
        """Measure the averaged weights on patches that training does not draw."""
        current = {key: value.clone() for key, value in self.generator.state_dict().items()}
        self.generator.load_state_dict(self._average)
        self.generator.eval()
        batches = [
            self._tensors(self._source.validation(index)) for index in range(_VALIDATION_BATCHES)
        ]
        found = self._validation.measure(self.generator, batches)
        self.generator.load_state_dict(current)
        return found

    def _validated(self, log: TrainingLog, folder: Path) -> dict[str, float]:
        """Measure, and add a line to the log."""
        log.flush()
        found = self.validate()
        rounded = {name: float(f"{value:.6g}") for name, value in found.items()}
        note(folder / LOG, self.progress.step, {VALIDATION: rounded})
        return found

    def snapshot(self) -> Checkpoint:
        """Everything needed to go on from here, copied."""
        critic, critic_moments = self._adversary.state() if self._adversary else ({}, {})
        return Checkpoint(
            self.progress,
            {key: value.clone() for key, value in self.generator.state_dict().items()},
            {key: value.clone() for key, value in self._average.items()},
            optimiser_state(self._named, self._optimiser),
            critic,
            critic_moments,
        )

    def adopt(self, state: Mapping[str, Tensor]) -> None:
        """Begin with the weights of another run, see `Generator.adopt`.

        Raises
        ------
        RecipeError
            If they do not fit the generator.
        """
        self.generator.adopt(state)
        self._average = {key: value.clone() for key, value in self.generator.state_dict().items()}

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go back, or on, to `checkpoint`.

        Raises
        ------
        RecipeError
            If it is of another generator or critic.
        """
        if self._adversary is not None and not checkpoint.critic:
            raise RecipeError("the checkpoint is of a run without a critic; use `start` instead")
        load_exactly(self.generator, checkpoint.weights)
        self.progress = checkpoint.progress
        self._average = {
            key: value.to(self.device, copy=True) for key, value in checkpoint.average.items()
        }
        restore_optimiser(self._named, self._optimiser, checkpoint.optimiser)
        if self._adversary is not None:
            self._adversary.restore(checkpoint.critic, checkpoint.critic_optimiser)

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
        noisy, target, weight = self._tensors(self._source.batch(step))
        prediction = self._generate(noisy)
        told: dict[str, Tensor] = {}
        if self._adversary is not None:
            told |= self._improve_critic(self._adversary, step, (prediction, target, noisy))
        self._optimiser.zero_grad(set_to_none=True)
        loss, parts = self._loss(prediction, target, weight, noisy)
        told |= parts
        if self._adversary is not None:
            unit = self._loss.unit
            judged = self._adversary.judge(unit(prediction), unit(noisy))
            told["adversarial"] = judged.detach()
            loss = loss + self._loss.scale * self._adversary.section.weight * judged
        self._parts = {name: float(value) for name, value in told.items()}
        value = float(loss.detach())
        for part in (value, *self._parts.values()):
            if not math.isfinite(part):
                return part
        loss.backward()  # type: ignore[no-untyped-call]
        norm = float(nn.utils.clip_grad_norm_(self._named.values(), _GRADIENT_NORM))
        if not math.isfinite(norm):
            return norm
        self._optimiser.step()
        self._update_average(step)
        return value

    def _generate(self, noisy: Tensor) -> Tensor:
        reduced = self._section.precision == "bfloat16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=reduced):
            prediction: Tensor = self.generator(noisy)
        return prediction.float()

    def _improve_critic(
        self, adversary: Adversary, step: int, first: tuple[Tensor, Tensor, Tensor]
    ) -> dict[str, Tensor]:
        """The critic's steps: on the generator's batch, and on batches of its own after that."""
        unit = self._loss.unit
        told: dict[str, Tensor] = {}
        for index in range(adversary.section.steps):
            number = step + index * _EXTRA_BATCHES
            if index == 0:
                fake, real, noisy = first
            else:
                noisy, real, _ = self._tensors(self._source.batch(number))
                with torch.no_grad():
                    fake = self._generate(noisy)
            told = adversary.improve(unit(real), unit(fake), unit(noisy), number)
            if not torch.isfinite(told["critic"]):
                break
        return told

    def _tensors(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Noisy patches, targets and weights on the device."""
        noisy = torch.from_numpy(batch.noisy).to(self.device)
        weight = torch.from_numpy(batch.weight).to(self.device)
        if not self._section.patch_weights:
            weight = torch.ones_like(weight)
        target = torch.from_numpy(batch.target).to(self.device)
        return noisy.contiguous(memory_format=torch.channels_last), target, weight

    def _told(self) -> str:
        return ", ".join(f"{name} {value:.4g}" for name, value in self._parts.items())

    def _hardware(self) -> str:
        if self.device.type == "cuda":
            return torch.cuda.get_device_name(self.device)
        threads = torch.get_num_threads()
        return f"{threads} processor thread{'s' if threads > 1 else ''}"

    def _learning_rate(self, step: int, share: float) -> float:
        section = self._section
        low, high = section.final_learning_rate, section.learning_rate
        if section.schedule == "plateau":
            rate = max(low, high * self.progress.plateau.rate)
            return rate * min(1.0, (step + 1) / (section.warmup + 1))
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

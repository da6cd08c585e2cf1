from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from model_store.errors import RecipeError, TrainingDivergedError
from model_store.generators.build import build_critic
from model_store.generators.drl import Drl, DrlConfig
from model_store.generators.sections import PatchCriticSection, WganCriticSection
from model_store.training.adversary import (
    Adversary,
    critic_loss,
    generator_loss,
    gradient_penalty,
)
from model_store.training.checkpoint import Checkpoint
from model_store.training.loop import Trainer
from model_store.training.patches import Batch
from model_store.training.recipe import AdversarySection, TrainingSection

_SECTION = TrainingSection(iterations=6, batch=2, patch=32, warmup=1, learning_rate=1e-3)


class _Linear(nn.Module):
    """A critic of known gradient: the scalar product with a fixed image."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)

    def forward(self, images: Tensor) -> Tensor:
        return (images * self.weight).flatten(1).sum(1, keepdim=True)


class _Patches:
    def __init__(self, bad_step: int | None = None) -> None:
        self._bad_step = bad_step

    def batch(self, step: int) -> Batch:
        generator = np.random.default_rng(step)
        clean = generator.random((2, 1, 32, 32)).astype(np.float32)
        noisy = clean + generator.normal(0, 0.1, clean.shape).astype(np.float32)
        if step == self._bad_step:
            clean[0] = np.nan
        return Batch(noisy, clean, np.ones((2, 1, 1, 1), np.float32))

    def validation(self, index: int) -> Batch:
        return self.batch(1000 + index)


def _adversary(objective: str = "wgan-gp", steps: int = 2) -> Adversary:
    network = WganCriticSection(system="wgan-vgg", width=2, hidden=4)
    section = AdversarySection(
        network=network, objective=objective, weight=0.1, steps=steps, learning_rate=1e-2
    )
    torch.manual_seed(1)
    return Adversary(build_critic(network, 32), section, seed=3)


def _trainer(adversary: Adversary, source: _Patches | None = None) -> Trainer:
    torch.manual_seed(2)
    return Trainer(Drl(DrlConfig(2)), source or _Patches(), _SECTION, adversary=adversary)


@pytest.mark.parametrize("norm", [0.0, 0.5, 1.0, 3.0])
def test_the_penalty_of_a_linear_critic_is_its_norm_less_one_squared(norm: float) -> None:
    weight = torch.randn(1, 1, 6, 5, generator=torch.Generator().manual_seed(0))
    critic = _Linear(weight * norm / weight.norm())
    real, fake = torch.rand(3, 1, 6, 5), torch.rand(3, 1, 6, 5)
    penalty = gradient_penalty(critic, real, fake, torch.rand(3, 1, 1, 1))
    assert float(penalty.detach()) == pytest.approx((norm - 1) ** 2, abs=1e-5)


def test_every_sample_is_mixed_by_its_own_factor() -> None:
    seen: list[Tensor] = []

    class Probe(_Linear):
        def forward(self, images: Tensor) -> Tensor:
            seen.append(images.detach())
            return super().forward(images)

    real, fake = torch.ones(2, 1, 2, 2), torch.zeros(2, 1, 2, 2)
    epsilon = torch.tensor([0.25, 0.75]).reshape(2, 1, 1, 1)
    gradient_penalty(Probe(torch.ones(1, 1, 2, 2)), real, fake, epsilon)
    assert seen[0].flatten(1)[:, 0].tolist() == [0.25, 0.75]


def test_objectives_are_what_one_computes_by_hand() -> None:
    real, fake = torch.tensor([[2.0], [0.0]]), torch.tensor([[-1.0], [1.0]])

    def log_sigmoid(x: float) -> float:
        return -math.log(1 + math.exp(-x))

    bce = -(log_sigmoid(2) + log_sigmoid(0)) / 2 - (log_sigmoid(1) + log_sigmoid(-1)) / 2
    assert float(critic_loss("bce", real, fake)) == pytest.approx(bce)
    assert float(generator_loss("bce", fake)) == pytest.approx(
        -(log_sigmoid(-1) + log_sigmoid(1)) / 2
    )
    assert float(generator_loss("bce", torch.zeros(4, 1))) == pytest.approx(math.log(2))
    assert float(critic_loss("lsgan", real, fake)) == pytest.approx(0.5 * (1 + 1))
    assert float(generator_loss("lsgan", fake)) == pytest.approx((4 + 0) / 2)
    assert float(critic_loss("wgan-gp", real, fake)) == pytest.approx(0 - 1)
    assert float(generator_loss("wgan-gp", real)) == pytest.approx(-1)


@pytest.mark.parametrize("objective", ["bce", "lsgan", "wgan-gp"])
def test_a_critic_learns_to_tell_and_leaves_the_generator_alone(objective: str) -> None:
    adversary = _adversary(objective)
    real, fake = torch.ones(4, 1, 32, 32), torch.zeros(4, 1, 32, 32, requires_grad=True)
    first = adversary.improve(real, fake, fake, 0)["critic"]
    for draw in range(1, 15):
        last = adversary.improve(real, fake, fake, draw)["critic"]
    assert last < first
    assert fake.grad is None
    adversary.judge(fake, fake).backward()
    assert fake.grad is not None
    assert fake.grad.abs().sum() > 0


def test_a_conditional_critic_sees_the_noisy_image_too() -> None:
    network = PatchCriticSection(system="patchgan", width=2, condition=True)
    section = AdversarySection(network=network, objective="lsgan", weight=0.1)
    adversary = Adversary(build_critic(network, 32), section, seed=0)
    image, noisy = torch.rand(2, 1, 32, 32), torch.rand(2, 1, 32, 32)
    assert torch.isfinite(adversary.improve(image, image, noisy, 0)["critic"])
    assert adversary.judge(image, noisy) != adversary.judge(image, noisy + 1)


@pytest.mark.parametrize("objective", ["bce", "wgan-gp"])
def test_a_resumed_adversarial_run_is_the_uninterrupted_one(tmp_path: Path, objective: str) -> None:
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    _trainer(_adversary(objective)).run(whole)
    _trainer(_adversary(objective)).run(halves, until=3)
    second = _trainer(_adversary(objective))
    second.restore(Checkpoint.read(halves))
    second.run(halves)
    expected, got = Checkpoint.read(whole), Checkpoint.read(halves)
    for part in ("weights", "average", "optimiser", "critic", "critic_optimiser"):
        one, other = getattr(expected, part), getattr(got, part)
        assert one.keys() == other.keys()
        assert all(torch.equal(one[key], other[key]) for key in one), part
    before, _ = _adversary(objective).state()
    assert any(not torch.equal(before[key], got.critic[key]) for key in before)


def test_the_log_has_every_term(tmp_path: Path) -> None:
    _trainer(_adversary()).run(tmp_path)
    before, line, after = map(json.loads, (tmp_path / "log.jsonl").read_text().splitlines())
    terms = {"loss", "mse", "adversarial", "critic", "penalty", "D(x)", "D(G(z))"}
    assert {"step", "rate", *terms} <= line.keys()
    assert (before["step"], after["step"]) == (0, line["step"])
    told = {"PSNR", "SSIM", "loss", "mse", "D(x)", "D(G(z))"}
    assert set(before["validation"]) == set(after["validation"]) == told


def test_checkpoints_of_another_critic_or_of_none_are_recipe_errors(tmp_path: Path) -> None:
    _trainer(_adversary()).run(tmp_path, until=1)
    network = WganCriticSection(system="wgan-vgg", width=3, hidden=4)
    section = AdversarySection(network=network, objective="bce", weight=1)
    other = _trainer(Adversary(build_critic(network, 32), section, seed=0))
    with pytest.raises(RecipeError, match="do not fit"):
        other.restore(Checkpoint.read(tmp_path))
    plain = Trainer(Drl(DrlConfig(2)), _Patches(), _SECTION)
    with pytest.raises(RecipeError, match="without a critic"):
        _trainer(_adversary()).restore(plain.snapshot())


def test_an_adversarial_run_that_diverges_keeps_its_last_checkpoint(tmp_path: Path) -> None:
    trainer = _trainer(_adversary(), _Patches(bad_step=4))
    trainer.run(tmp_path, until=3)
    with pytest.raises(
        TrainingDivergedError, match=r"iteration 4 \(batch 4 of seed 0; .*critic nan"
    ):
        trainer.run(tmp_path)
    kept = Checkpoint.read(tmp_path)
    assert kept.progress.step == 3
    for part in (kept.weights, kept.critic, trainer.snapshot().critic):
        assert all(torch.isfinite(value).all() for value in part.values())

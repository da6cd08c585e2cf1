from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from model_store.errors import RecipeError
from tests.unit.model_store.generators.networks import critic

TINY: list[dict[str, Any]] = [
    {"system": "dngan", "width": 2, "hidden": 8},
    {"system": "dngan", "width": 2, "hidden": 8, "compact": True},
    {"system": "patchgan", "width": 2},
    {"system": "patchgan", "width": 2, "condition": True},
    {"system": "wgan-vgg", "width": 2, "hidden": 8},
]


@pytest.mark.parametrize(
    ("shape", "parameters"),
    [
        ({"system": "dngan"}, 68_072_065),
        ({"system": "dngan", "compact": True}, 5_157_505),
        ({"system": "patchgan"}, 2_763_585),
        ({"system": "patchgan", "condition": True}, 2_764_609),
        ({"system": "wgan-vgg"}, 17_923_521),
    ],
)
def test_counts_are_the_published_ones(shape: dict[str, Any], parameters: int) -> None:
    with torch.device("meta"):
        network = critic(**shape, patch=64)
    assert sum(value.numel() for value in network.parameters()) == parameters


@pytest.mark.parametrize("shape", TINY)
@pytest.mark.parametrize("patch", [32, 50, 96])
def test_critics_make_logits_of_patches_of_any_size(shape: dict[str, Any], patch: int) -> None:
    torch.manual_seed(0)
    network = critic(**shape, patch=patch)
    images = 5 * torch.randn(3, network.channels, patch, patch)
    logits = network(images)
    if network.patch is None:
        assert logits.shape == (3, 1, patch // 8 - 2, patch // 8 - 2)
    else:
        assert (network.patch, logits.shape) == (patch, (3, 1))
    assert not any(isinstance(layer, nn.Sigmoid) for layer in network.modules())
    with torch.no_grad():
        for bias in (value for key, value in network.named_parameters() if key.endswith("bias")):
            bias.fill_(-3.0)
        assert network(images).min() < 0


def test_the_patch_critic_judges_70_pixels() -> None:
    network = critic("patchgan", patch=256, width=2).eval()
    images = torch.rand(1, 1, 256, 256, requires_grad=True)
    network(images)[0, 0, 15, 15].backward()
    assert images.grad is not None
    rows = images.grad[0, 0].abs().sum(1).nonzero().ravel()
    assert int(rows.max() - rows.min()) + 1 == 70


@pytest.mark.parametrize("system", ["dngan", "wgan-vgg"])
def test_a_critic_with_connected_layers_refuses_other_sizes(system: str) -> None:
    network = critic(system, patch=48, width=2, hidden=8)
    with pytest.raises(ValueError, match="48 x 48 pixels, not 48 x 64"):
        network(torch.rand(1, 1, 48, 64))


def test_patches_that_are_too_small_are_refused() -> None:
    with pytest.raises(RecipeError, match="32 pixels or more, not 16"):
        critic("patchgan", patch=16)


def test_a_wasserstein_critic_has_a_gradient_penalty_to_learn_from() -> None:
    network = critic("wgan-vgg", patch=32, width=2, hidden=8)
    images = torch.rand(2, 1, 32, 32, requires_grad=True)
    (slope,) = torch.autograd.grad(network(images).sum(), images, create_graph=True)
    (slope.flatten(1).norm(dim=1) - 1).square().mean().backward()
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in network.modules())
    weights = [value for key, value in network.named_parameters() if key.endswith("weight")]
    assert all(value.grad is not None and bool(value.grad.any()) for value in weights)

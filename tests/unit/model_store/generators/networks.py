"""Generators and critics from a few words, small ones for tests, and weights that reach far."""

from __future__ import annotations

from typing import Any

import torch
from pydantic import TypeAdapter
from torch import nn

from model_store.generators import build as builder
from model_store.generators.base import Generator
from model_store.generators.critic import Critic
from model_store.generators.sections import CriticSection, GeneratorSection

SMALL: dict[str, dict[str, Any]] = {
    "dngan": {"system": "dngan", "width": 4, "inner": 3},
    "n2n-unet": {"system": "n2n-unet"},
    "n2n-unet-residual": {"system": "n2n-unet", "residual": True},
    "sharpxr": {"system": "sharpxr", "widths": (4, 5)},
    "sharpxr-plain-output": {"system": "sharpxr", "widths": (4, 5), "residual": False},
    "sharpxr-dual": {"system": "sharpxr", "widths": (4, 5), "dual": True},
    "wgan-vgg": {"system": "wgan-vgg", "width": 4},
    "wgan-vgg-residual": {"system": "wgan-vgg", "width": 4, "residual": True},
    "wgan-vgg-published": {"system": "wgan-vgg", "width": 4, "last_relu": True},
    "drl": {"system": "drl", "width": 4},
    "drl-cascade": {"system": "drl-cascade", "width": 4},
    "drl-cascade-3-stacked": {
        "system": "drl-cascade", "width": 4, "levels": 3, "stack_input": True, "blend": 0.7
    },
    "drl-cascade-cnn10": {"system": "drl-cascade", "width": 4, "further": "cnn10"},
    "cnn10": {"system": "cnn10", "width": 4},
    "drunet": {"system": "drunet", "width": 4, "stages": 3},
    "drunet-folded": {
        "system": "drunet", "width": 4, "stages": 3, "blocks": (1, 2, 1), "fold": 2
    },
}  # fmt: skip


def generator(system: str, **shape: Any) -> Generator:
    """The generator of a section with these keys."""
    section = TypeAdapter[GeneratorSection](GeneratorSection).validate_python(
        {"system": system, **shape}
    )
    return builder.build(section)


def critic(system: str, patch: int, **shape: Any) -> Critic:
    """The critic of a section with these keys."""
    section = TypeAdapter[CriticSection](CriticSection).validate_python({"system": system, **shape})
    return builder.build_critic(section, patch)


def randomised(network: Generator, seed: int = 3) -> Generator:
    """He weights everywhere, in float64: nothing is zero."""
    torch.manual_seed(seed)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.kaiming_normal_(layer.weight)
            if layer.bias is not None:
                nn.init.normal_(layer.bias, std=0.1)
    return network.eval().double()


def averaging(network: Generator) -> Generator:
    """Positive weights that sum to 1: for positive images every path is open and none cancel."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.constant_(layer.weight, 1 / layer.weight[0].numel())
        elif isinstance(layer, nn.ConvTranspose2d):
            nn.init.constant_(layer.weight, 1 / layer.weight.shape[0])
    return network.eval().double()


def outward(network: Generator) -> Generator:
    """Positive weights on a row and a column, most at their ends: far paths are above rounding.

    For images of one row or one column, whose values they keep about as they are.
    """
    torch.manual_seed(3)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            half = layer.kernel_size[0] // 2
            cross = torch.zeros(layer.kernel_size)
            cross[half, [0, -1]] = cross[[0, -1], half] = 1
            cross[half, half] = 0.2
            weight = (torch.rand_like(layer.weight) + 0.5) * cross
            weight /= weight[:, :, half].sum((1, 2))[:, None, None, None]
            layer.weight = nn.Parameter(weight)
    return network.eval().double()

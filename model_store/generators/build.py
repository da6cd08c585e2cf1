"""From a section of a recipe to its generator or critic."""

from __future__ import annotations

from typing import assert_never

import torch
from torch import Tensor, nn

from model_store.errors import RecipeError
from model_store.generators.base import Generator
from model_store.generators.cnn10 import Cnn10, Cnn10Config
from model_store.generators.critic import Critic
from model_store.generators.dngan import Dngan, DnganConfig, DnganCritic, DnganCriticConfig
from model_store.generators.drl import Drl, DrlConfig
from model_store.generators.drl_cascade import DrlCascade, DrlCascadeConfig
from model_store.generators.drunet import Drunet, DrunetConfig
from model_store.generators.n2n_unet import N2nUnet, N2nUnetConfig
from model_store.generators.sections import (
    Cnn10Section,
    CriticSection,
    DnganCriticSection,
    DnganSection,
    DrlCascadeSection,
    DrlSection,
    DrunetSection,
    GeneratorSection,
    N2nUnetSection,
    PatchCriticSection,
    SharpXrSection,
    WganCriticSection,
    WganVggSection,
)
from model_store.generators.sharpxr import (
    Laplacian,
    PatchCritic,
    PatchCriticConfig,
    SharpXr,
    SharpXrConfig,
)
from model_store.generators.wgan_vgg import (
    WganCritic,
    WganCriticConfig,
    WganVggConfig,
    WganVggGenerator,
)

_SMALLEST_PATCH = 32


def build(section: GeneratorSection) -> Generator:
    """Build the generator that a recipe's section describes, with random weights."""
    generator: Generator
    match section:
        case DnganSection():
            generator = Dngan(DnganConfig(section.width, section.inner))
        case N2nUnetSection():
            generator = N2nUnet(N2nUnetConfig(section.residual))
        case SharpXrSection():
            generator = SharpXr(SharpXrConfig(section.widths, section.dual, section.residual))
        case WganVggSection():
            generator = WganVggGenerator(
                WganVggConfig(section.width, section.residual, section.last_relu)
            )
        case DrlSection():
            generator = Drl(DrlConfig(section.width))
        case DrlCascadeSection():
            generator = DrlCascade(
                DrlCascadeConfig(
                    section.width,
                    section.levels,
                    section.blend,
                    section.stack_input,
                    section.first,
                    section.further,
                )
            )
        case Cnn10Section():
            generator = Cnn10(Cnn10Config(section.width))
        case DrunetSection():
            generator = Drunet(
                DrunetConfig(section.width, section.blocks, section.stages, section.fold)
            )
        case _:
            assert_never(section)
    return generator


def build_critic(section: CriticSection, patch: int) -> Critic:
    """Build the critic that a recipe's section describes, with random weights.

    Parameters
    ----------
    section : CriticSection
        System and shape.
    patch : int
        Height and width in pixels of the patches that it will judge, at least 32.

    Raises
    ------
    RecipeError
        If the patches are too small.
    """
    if patch < _SMALLEST_PATCH:
        raise RecipeError(
            f"a critic needs patches of {_SMALLEST_PATCH} pixels or more, not {patch}"
        )
    match section:
        case DnganCriticSection():
            return DnganCritic(
                DnganCriticConfig(patch, section.width, section.hidden, section.compact)
            )
        case PatchCriticSection():
            return PatchCritic(PatchCriticConfig(section.width, section.condition))
        case WganCriticSection():
            return WganCritic(WganCriticConfig(patch, section.width, section.hidden))
        case _:
            assert_never(section)


def count_parameters(generator: nn.Module) -> int:
    """Parameters, batch normalisation's moving statistics included (as Keras counts them)."""
    statistics = sum(
        buffer.numel() for name, buffer in generator.named_buffers() if "running" in name
    )
    return sum(parameter.numel() for parameter in generator.parameters()) + statistics


def macs_per_pixel(generator: nn.Module, size: int = 64) -> int:
    """Multiply-adds of the convolutions per pixel of the input, for a ``size x size`` image."""
    total = 0

    def count(layer: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        nonlocal total
        if isinstance(layer, nn.Conv2d):
            total += layer.weight.numel() * output.shape[2] * output.shape[3]
        elif isinstance(layer, nn.ConvTranspose2d):
            total += layer.weight.numel() * inputs[0].shape[2] * inputs[0].shape[3]
        elif isinstance(layer, Laplacian):
            total += Laplacian.taps * output.numel()

    hooks = [layer.register_forward_hook(count) for layer in generator.modules()]
    was_training = generator.training
    generator.eval()
    device = next(generator.parameters()).device
    with torch.no_grad():
        generator(torch.zeros(1, 1, size, size, device=device))
    generator.train(was_training)
    for hook in hooks:
        hook.remove()
    return round(total / size**2)

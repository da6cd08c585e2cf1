"""From the name of a system to its generator."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from model_store.generators.base import Generator
from model_store.generators.drl import Drl, DrlConfig
from model_store.generators.drunet import Drunet, DrunetConfig
from model_store.generators.n2n_unet import N2nUnet, N2nUnetConfig
from model_store.generators.sections import DrlSection, GeneratorSection, N2nUnetSection


def build(section: GeneratorSection) -> Generator:
    """Build the generator that a recipe's section describes, with random weights."""
    if isinstance(section, DrlSection):
        return build_drl(section.width)
    if isinstance(section, N2nUnetSection):
        return build_n2n_unet(residual=section.residual)
    return Drunet(DrunetConfig(section.width, section.blocks, section.stages))


def build_drl(width: int = 64) -> Drl:
    """Build a DRL generator of that width."""
    return Drl(DrlConfig(width))


def build_n2n_unet(*, residual: bool = False) -> N2nUnet:
    """Build a Noise2Noise U-Net."""
    return N2nUnet(N2nUnetConfig(residual))


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

    hooks = [layer.register_forward_hook(count) for layer in generator.modules()]
    was_training = generator.training
    generator.eval()
    with torch.no_grad():
        generator(torch.zeros(1, 1, size, size))
    generator.train(was_training)
    for hook in hooks:
        hook.remove()
    return round(total / size**2)

"""DNGAN: digital radiograph denoising with a generative adversarial network (Sun et al. 2018).

Source: Sun et al., J. X-Ray Sci. Technol. 26(4):523-534, 2018. Its figures leave the wiring of the
"12 cascading convolutional layers" open; the layout here is that of DPED (Ignatov et al. 2017),
whose losses and critic the paper follows: 1 + 4 residual blocks of 2 + 2 + 1 convolutions.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from model_store.generators.base import Generator
from model_store.generators.critic import FixedSizeCritic, halved
from model_store.generators.layers import he_conv

_BLOCKS = 4
_SLOPE = 0.2


@dataclass(frozen=True, slots=True)
class DnganConfig:
    """Shape of a DNGAN generator; the defaults have 370,497 parameters.

    Parameters
    ----------
    width : int
        Feature maps between the blocks.
    inner : int
        Feature maps inside a block: 64, or 32 for the paper's word "bottleneck" (222,913
        parameters).
    """

    width: int = 64
    inner: int = 64


class InnerConnection(nn.Module):
    """``h + relu(conv(relu(conv(h))))``: two 3x3 convolutions and the block's own skip."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.first = he_conv(width, inner)
        self.second = he_conv(inner, width)

    def forward(self, h: Tensor) -> Tensor:
        """Map ``[N, width, H, W]`` to the same shape."""
        out: Tensor = h + torch.relu(self.second(torch.relu(self.first(h))))
        return out


class Dngan(Generator):
    """Twelve 3x3 convolutions that learn the residual image, ``y = x + residual(x)``.

    No normalisation; ReLU after all layers but the last. Receptive field 25 x 25.

    Parameters
    ----------
    config : DnganConfig
        Widths.
    """

    margin = 12
    stride = 1

    def __init__(self, config: DnganConfig | None = None) -> None:
        super().__init__()
        shape = config or DnganConfig()
        self.first = he_conv(1, shape.width)
        self.blocks = nn.Sequential(
            *(InnerConnection(shape.width, shape.inner) for _ in range(_BLOCKS))
        )
        self.tenth = he_conv(shape.width, shape.width)
        self.eleventh = he_conv(shape.width, shape.width)
        self.last = he_conv(shape.width, 1)
        nn.init.zeros_(self.last.weight)

    def residual(self, x: Tensor) -> Tensor:
        """G(x) - x for ``[N, 1, H, W]`` in the unit that the manifest states."""
        h = self.blocks(torch.relu(self.first(x)))
        h = torch.relu(self.eleventh(torch.relu(self.tenth(h))))
        out: Tensor = self.last(h)
        return out


@dataclass(frozen=True, slots=True)
class DnganCriticConfig:
    """Shape of a DNGAN critic; the defaults have 68,072,065 parameters for 64-pixel patches.

    Parameters
    ----------
    patch : int
        Height and width of the images.
    width : int
        Feature maps of the first block; the others have 2, 4 and 4 times as many.
    hidden : int
        Neurons of the first fully connected layer.
    compact : bool
        Stride 2 in all four blocks instead of the two where the maps double: 5,157,505
        parameters for 64-pixel patches.
    """

    patch: int = 64
    width: int = 64
    hidden: int = 1024
    compact: bool = False


class DnganCritic(FixedSizeCritic):
    """Four blocks of convolution, batch normalisation and LeakyReLU, then two connected layers.

    Parameters
    ----------
    config : DnganCriticConfig
        Patch size and widths.
    """

    def __init__(self, config: DnganCriticConfig | None = None) -> None:
        shape = config or DnganCriticConfig()
        widths = [1] + [shape.width * factor for factor in (1, 2, 4, 4)]
        strides = (2, 2, 2, 2) if shape.compact else (1, 2, 2, 1)
        layers: list[nn.Module] = []
        for inputs, outputs, stride in zip(widths, widths[1:], strides, strict=False):
            layers += [
                nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1),
                nn.BatchNorm2d(outputs),
                nn.LeakyReLU(_SLOPE),
            ]
        size = halved(shape.patch, strides.count(2))
        super().__init__(nn.Sequential(*layers), widths[-1] * size**2, shape.hidden, shape.patch)

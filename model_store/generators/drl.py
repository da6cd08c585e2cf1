"""DRL: dilated residual learning with skip connections (Ataei, Alirezaie, Babyn 2020).

Source: arXiv 2006.14738 and its authors' code, less the last 1-to-1 convolution of that code, which
the published count of parameters leaves out.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from model_store.generators.base import Generator

_KERAS_EPSILON = 1e-3
_KERAS_MOMENTUM = 0.01


@dataclass(frozen=True, slots=True)
class DrlConfig:
    """Shape of a DRL generator; the defaults are the published ones.

    Parameters
    ----------
    width : int
        Feature maps of the hidden layers.
    inputs : int
        Channels of the input. With more than one only `Drl.residual` is meant to be used, as the
        difference network of a cascade.
    """

    width: int = 64
    inputs: int = 1


class DilatedConv(nn.Module):
    """A dilated 3x3 convolution with zero "same" padding, batch normalisation and ReLU."""

    def __init__(self, inputs: int, outputs: int, dilation: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=dilation, dilation=dilation)
        self.norm = nn.BatchNorm2d(outputs, eps=_KERAS_EPSILON, momentum=_KERAS_MOMENTUM)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[N, inputs, H, W]`` to ``[N, outputs, H, W]``."""
        return functional.relu(self.norm(self.conv(x)))


class Drl(Generator):
    """The DRL generator, ``y = x + residual(x)``.

    Seven convolutions (5x5, then 3x3 with dilations 2, 3, 4, 3, 2, 1), batch normalisation on the
    five inner ones, two concatenations and a global residual. Receptive field 35 x 35, so tiles
    need a margin of 17 pixels and sizes are free.

    Parameters
    ----------
    config : DrlConfig
        Width; 64 gives 224,961 trainable parameters, 225,601 with the moving statistics.
    """

    margin = 17
    stride = 1

    def __init__(self, config: DrlConfig | None = None) -> None:
        super().__init__()
        shape = config or DrlConfig()
        width = shape.width
        self.conv1 = nn.Conv2d(shape.inputs, width, 5, padding=2)
        self.block2 = DilatedConv(width, width, 2)
        self.block3 = DilatedConv(width, width, 3)
        self.block4 = DilatedConv(width, width, 4)
        self.block5 = DilatedConv(width, width, 3)
        self.block6 = DilatedConv(2 * width, width, 2)
        self.conv7 = nn.Conv2d(2 * width, 1, 3, padding=1)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.xavier_uniform_(layer.weight)
                _zero_bias(layer)
        nn.init.zeros_(self.conv7.weight)

    def residual(self, x: Tensor) -> Tensor:
        """G(x) - x for ``[N, inputs, H, W]`` in the unit that the manifest states: one channel."""
        one = functional.relu(self.conv1(x))
        two = self.block2(one)
        five = self.block5(self.block4(self.block3(two)))
        six = self.block6(torch.cat([five, two], dim=1))
        out: Tensor = self.conv7(torch.cat([six, one], dim=1))
        return out


def _zero_bias(layer: nn.Conv2d) -> None:
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)

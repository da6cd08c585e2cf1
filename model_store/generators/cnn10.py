"""CNN10: the plain network of Wu et al.'s cascade, the baseline of the DRL paper.

Sources: D. Wu et al. (arXiv 1705.04267); the layout is the one that has the 335,873 parameters
which Ataei et al. (arXiv 2006.14738) state: ten hidden layers, nine of them with batch
normalisation, and an output layer.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from model_store.generators.base import Generator
from model_store.generators.drl import DilatedConv
from model_store.generators.layers import he_initialised

_NORMALISED = 9


@dataclass(frozen=True, slots=True)
class Cnn10Config:
    """Shape of a CNN10; the default has 335,873 parameters, moving statistics included.

    Parameters
    ----------
    width : int
        Feature maps of the hidden layers.
    inputs : int
        Channels of the input; 2 have 336,449 parameters. With more than one only `Cnn10.residual`
        is meant to be used, as the difference network of a cascade.
    """

    width: int = 64
    inputs: int = 1


class Cnn10(Generator):
    """Eleven 3x3 convolutions that learn the difference image, receptive field 23 x 23.

    Parameters
    ----------
    config : Cnn10Config
        Width.
    """

    margin = 11
    stride = 1

    def __init__(self, config: Cnn10Config | None = None) -> None:
        super().__init__()
        shape = config or Cnn10Config()
        width = shape.width
        self.first = nn.Conv2d(shape.inputs, width, 3, padding=1)
        self.blocks = nn.Sequential(*(DilatedConv(width, width, 1) for _ in range(_NORMALISED)))
        self.last = nn.Conv2d(width, 1, 3, padding=1)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                he_initialised(layer)
        nn.init.zeros_(self.last.weight)

    def residual(self, x: Tensor) -> Tensor:
        """G(x) - x for ``[N, inputs, H, W]`` in the unit that the manifest states: one channel."""
        out: Tensor = self.last(self.blocks(torch.relu(self.first(x))))
        return out

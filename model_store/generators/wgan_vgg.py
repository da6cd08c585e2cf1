"""WGAN-VGG: a small convolutional generator and a Wasserstein critic (Yang et al. 2018).

Source: Q. Yang et al., IEEE Trans. Med. Imaging 37(6):1348-1357, 2018, in the form that its public
ports share. The published generator ends in a ReLU that can die, after which the output is zero
and training stalls; here it is left out unless asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from model_store.generators.base import Generator
from model_store.generators.critic import FixedSizeCritic, halved
from model_store.generators.layers import he_conv

_LAYERS = 8
_SLOPE = 0.2


@dataclass(frozen=True, slots=True)
class WganVggConfig:
    """Shape of a WGAN-VGG generator; the defaults have 56,097 parameters.

    Parameters
    ----------
    width : int
        Feature maps of the hidden layers, at least 2.
    residual : bool
        Add the input to the output; the published network does not.
    last_relu : bool
        Keep the published ReLU of the last layer, which forbids negative outputs.
    """

    width: int = 32
    residual: bool = False
    last_relu: bool = False


class WganVggGenerator(Generator):
    """Eight 3x3 convolutions with ReLU between them, receptive field 17 x 17.

    Untrained it is the identity (with `last_relu`: for inputs that are not negative). With a
    global residual the last layer is zero; without, two feature maps carry ``relu(x)`` and
    ``relu(-x)`` from layer to layer and the last layer takes their difference, so that the output
    is alive from the first step.

    Parameters
    ----------
    config : WganVggConfig
        Width, global residual, last ReLU.
    """

    margin = 8
    stride = 1

    def __init__(self, config: WganVggConfig | None = None) -> None:
        super().__init__()
        self.config = config or WganVggConfig()
        widths = [1] + [self.config.width] * (_LAYERS - 1) + [1]
        self.convolutions = nn.ModuleList(
            he_conv(inputs, outputs) for inputs, outputs in pairwise(widths)
        )
        convs = [layer for layer in self.convolutions if isinstance(layer, nn.Conv2d)]
        if self.config.residual:
            nn.init.zeros_(convs[-1].weight)
        else:
            _carry_input(convs)

    def network(self, x: Tensor) -> Tensor:
        """The bare network, ``[N, 1, H, W]`` to the same."""
        *hidden, last = self.convolutions
        for conv in hidden:
            x = torch.relu(conv(x))
        out: Tensor = last(x)
        return torch.relu(out) if self.config.last_relu else out

    def residual(self, x: Tensor) -> Tensor:
        """G(x) - x for ``[N, 1, H, W]`` in the unit that the manifest states."""
        return self.network(x) if self.config.residual else self.network(x) - x


@dataclass(frozen=True, slots=True)
class WganCriticConfig:
    """Shape of a Wasserstein critic; the defaults have 17,923,521 parameters.

    Parameters
    ----------
    patch : int
        Height and width of the images.
    width : int
        Feature maps of the first two layers; the next pairs have 2 and 4 times as many.
    hidden : int
        Neurons of the first fully connected layer.
    """

    patch: int = 64
    width: int = 64
    hidden: int = 1024


class WganCritic(FixedSizeCritic):
    """Six 3x3 convolutions, every second with stride 2, then two fully connected layers.

    Without batch normalisation, since the gradient penalty is of single images.

    Parameters
    ----------
    config : WganCriticConfig
        Patch size and widths.
    """

    def __init__(self, config: WganCriticConfig | None = None) -> None:
        shape = config or WganCriticConfig()
        widths = [1] + [shape.width * factor for factor in (1, 1, 2, 2, 4, 4)]
        layers: list[nn.Module] = []
        for index, (inputs, outputs) in enumerate(pairwise(widths)):
            layers += [
                nn.Conv2d(inputs, outputs, 3, stride=1 + index % 2, padding=1),
                nn.LeakyReLU(_SLOPE),
            ]
        size = halved(shape.patch, 3)
        super().__init__(nn.Sequential(*layers), widths[-1] * size**2, shape.hidden, shape.patch)


def _carry_input(convs: list[nn.Conv2d]) -> None:
    """Let maps 0 and 1 carry ``relu(x)`` and ``relu(-x)``, and the last layer subtract them."""
    first, *middle, last = (conv.weight for conv in convs)
    with torch.no_grad():
        first[:2] = 0
        first[0, 0, 1, 1], first[1, 0, 1, 1] = 1, -1
        for weight in middle:
            weight[:2] = 0
            weight[0, 0, 1, 1] = weight[1, 1, 1, 1] = 1
        last.zero_()
        last[0, 0, 1, 1], last[0, 1, 1, 1] = 1, -1

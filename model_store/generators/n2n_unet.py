"""The Noise2Noise U-Net (Lehtinen et al. 2018; for X-ray and CT: Gnudi et al. 2020)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from model_store.generators.base import Generator

_SLOPE = 0.1
_CENTRE = 0.5


@dataclass(frozen=True, slots=True)
class N2nUnetConfig:
    """Shape of a Noise2Noise U-Net.

    Parameters
    ----------
    residual : bool
        Add the input to the output (the same number of parameters). The published network has no
        such path; with it the untrained network is the identity.
    """

    residual: bool = False


class N2nUnet(Generator):
    """The U-Net of the Noise2Noise authors' code for one channel, 988,609 parameters.

    LeakyReLU 0.1, no normalisation, 2x2 max-pool, nearest-neighbour upsampling; the skips are the
    pooled maps and, at the top, the input. Height and width must be multiples of 32; the receptive
    field reaches 158 pixels, so tiles need a margin of 160 at origins that are multiples of 32.

    Parameters
    ----------
    config : N2nUnetConfig
        Whether there is a global residual.
    """

    margin = 160
    stride = 32

    def __init__(self, config: N2nUnetConfig | None = None) -> None:
        super().__init__()
        self.config = config or N2nUnetConfig()
        self.encoder = nn.ModuleList(
            [_conv(1, 48), _conv(48, 48)] + [_conv(48, 48) for _ in range(5)]
        )
        self.decoder = nn.ModuleList(
            [
                nn.ModuleList([_conv(96, 96), _conv(96, 96)]),
                nn.ModuleList([_conv(144, 96), _conv(96, 96)]),
                nn.ModuleList([_conv(144, 96), _conv(96, 96)]),
                nn.ModuleList([_conv(144, 96), _conv(96, 96)]),
                nn.ModuleList([_conv(97, 64), _conv(64, 32)]),
            ]
        )
        self.last = nn.Conv2d(32, 1, 3, padding=1)
        nn.init.zeros_(self.last.weight) if self.config.residual else _he(self.last, 1.0)
        nn.init.zeros_(_bias(self.last))

    def network(self, x: Tensor) -> Tensor:
        """The bare U-Net on ``x - 0.5``, as in the authors' code: ``[N, 1, H, W]`` to the same."""
        centred = x - _CENTRE
        skips = [centred]
        y = _leaky(self.encoder[0](centred))
        for conv in list(self.encoder)[1:6]:
            y = functional.max_pool2d(_leaky(conv(y)), 2)
            skips.append(y)
        y = _leaky(self.encoder[6](y))
        for skip, pair in zip(skips[-2::-1], self.decoder, strict=True):
            y = functional.interpolate(y, scale_factor=2, mode="nearest")
            y = torch.cat([y, skip], dim=1)
            for conv in pair:  # type: ignore[attr-defined]
                y = _leaky(conv(y))
        out: Tensor = self.last(y)
        return out

    def residual(self, x: Tensor) -> Tensor:
        """G(x) - x, for ``[N, 1, H, W]`` with stored values scaled to 0..1."""
        return self.network(x) if self.config.residual else self.network(x) + _CENTRE - x


def _leaky(x: Tensor) -> Tensor:
    return functional.leaky_relu(x, _SLOPE)


def _conv(inputs: int, outputs: int) -> nn.Conv2d:
    conv = nn.Conv2d(inputs, outputs, 3, padding=1)
    _he(conv, nn.init.calculate_gain("leaky_relu", _SLOPE))
    nn.init.zeros_(_bias(conv))
    return conv


def _he(conv: nn.Conv2d, gain: float) -> None:
    fan_in = conv.weight[0].numel()
    nn.init.normal_(conv.weight, std=gain / fan_in**0.5)


def _bias(conv: nn.Conv2d) -> Tensor:
    if conv.bias is None:
        raise ValueError("every convolution of this network has a bias")
    return conv.bias

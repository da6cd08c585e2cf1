"""A small DRUNet: a residual U-Net without biases (Zhang et al. 2021), blind to the noise level.

Source: K. Zhang et al., "Plug-and-play image restoration with deep denoiser prior", IEEE TPAMI
2021, and its authors' code; narrower, with one block a stage instead of four, without the map of
noise levels, and with a global residual. Without biases the network is homogeneous,
``G(a x) = a G(x)`` for a > 0, which carries it to noise levels that it has not seen (Mohan et al.,
ICLR 2020).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from model_store.generators.base import Generator
from model_store.generators.layers import he_conv


@dataclass(frozen=True, slots=True)
class DrunetConfig:
    """Shape of a DRUNet.

    Parameters
    ----------
    width : int
        Feature maps of the first stage; each stage has twice as many as the one above.
    blocks : int
        Residual blocks of each stage on each side.
    stages : int
        Resolutions, the bottom included.
    """

    width: int = 16
    blocks: int = 1
    stages: int = 4


class ResidualBlock(nn.Module):
    """``x + conv(relu(conv(x)))`` with 3x3 kernels and zero "same" padding."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = he_conv(width, width, bias=False)
        self.second = he_conv(width, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[N, width, H, W]`` to the same shape."""
        out: Tensor = x + self.second(torch.relu(self.first(x)))
        return out


class Drunet(Generator):
    """A residual U-Net of strided and transposed 2x2 convolutions, skips added.

    Height and width must be multiples of ``2 ** (stages - 1)``.

    Parameters
    ----------
    config : DrunetConfig
        Width, blocks and stages.
    """

    def __init__(self, config: DrunetConfig | None = None) -> None:
        super().__init__()
        shape = config or DrunetConfig()
        widths = [shape.width * 2**stage for stage in range(shape.stages)]
        self.stride = 2 ** (shape.stages - 1)
        self.margin = _margin(shape)
        self.head = he_conv(1, shape.width, bias=False)
        self.encoder = nn.ModuleList(_stage(width, shape.blocks) for width in widths[:-1])
        self.down = nn.ModuleList(
            nn.Conv2d(width, 2 * width, 2, stride=2, bias=False) for width in widths[:-1]
        )
        self.bottom = _stage(widths[-1], shape.blocks)
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(2 * width, width, 2, stride=2, bias=False)
            for width in widths[-2::-1]
        )
        self.decoder = nn.ModuleList(_stage(width, shape.blocks) for width in widths[-2::-1])
        self.tail = he_conv(shape.width, 1, bias=False)
        nn.init.zeros_(self.tail.weight)

    def residual(self, x: Tensor) -> Tensor:
        """G(x) - x for ``[N, 1, H, W]`` in the unit that the manifest states."""
        y = self.head(x)
        skips = []
        for stage, down in zip(self.encoder, self.down, strict=True):
            y = stage(y)
            skips.append(y)
            y = down(y)
        y = self.bottom(y)
        for up, stage, skip in zip(self.up, self.decoder, reversed(skips), strict=True):
            y = stage(up(y) + skip)
        out: Tensor = self.tail(y)
        return out


def _stage(width: int, blocks: int) -> nn.Sequential:
    return nn.Sequential(*(ResidualBlock(width) for _ in range(blocks)))


def _margin(shape: DrunetConfig) -> int:
    """Reach in pixels of an output pixel, rounded up to the stride.

    A stage at 1/s has ``2 * blocks`` convolutions on each side (the bottom once), each reaching s
    pixels; head and tail reach one each; going down to and up from a stage looks at its whole cell.
    """
    bottom = 2 ** (shape.stages - 1)
    reach = 2 + 2 * shape.blocks * (bottom + sum(2 * 2**s for s in range(shape.stages - 1)))
    reach += bottom - 1
    return int(-(-reach // bottom) * bottom)

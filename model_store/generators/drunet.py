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
from torch.nn import functional

from model_store.generators.base import Generator
from model_store.generators.layers import he_conv


@dataclass(frozen=True, slots=True)
class DrunetConfig:
    """Shape of a DRUNet.

    Parameters
    ----------
    width : int
        Feature maps of the first stage; each stage has twice as many as the one above.
    blocks : int or tuple of int
        Residual blocks of each stage on each side: one number for all, or one for each stage from
        the first to the bottom.
    stages : int
        Resolutions, the bottom included.
    fold : int
        Side of the squares of pixels that the head folds into channels and the tail unfolds:
        with 2 the first stage works at half the resolution.
    """

    width: int = 16
    blocks: int | tuple[int, ...] = 1
    stages: int = 4
    fold: int = 1

    @property
    def depths(self) -> tuple[int, ...]:
        """Residual blocks of every stage."""
        if isinstance(self.blocks, tuple):
            return self.blocks
        return (self.blocks,) * self.stages


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

    Height and width must be multiples of ``fold * 2 ** (stages - 1)``.

    Parameters
    ----------
    config : DrunetConfig
        Width, blocks and stages.
    """

    def __init__(self, config: DrunetConfig | None = None) -> None:
        super().__init__()
        shape = config or DrunetConfig()
        depths = shape.depths
        widths = [shape.width * 2**stage for stage in range(shape.stages)]
        self.fold = shape.fold
        self.stride = shape.fold * 2 ** (shape.stages - 1)
        self.margin = _margin(shape)
        self.head = he_conv(shape.fold**2, shape.width, bias=False)
        self.encoder = nn.ModuleList(map(_stage, widths[:-1], depths[:-1]))
        self.down = nn.ModuleList(
            nn.Conv2d(width, 2 * width, 2, stride=2, bias=False) for width in widths[:-1]
        )
        self.bottom = _stage(widths[-1], depths[-1])
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(2 * width, width, 2, stride=2, bias=False)
            for width in widths[-2::-1]
        )
        self.decoder = nn.ModuleList(map(_stage, widths[-2::-1], depths[-2::-1]))
        self.tail = he_conv(shape.width, shape.fold**2, bias=False)
        nn.init.zeros_(self.tail.weight)

    def residual(self, x: Tensor) -> Tensor:
        """G(x) - x for ``[N, 1, H, W]`` in the unit that the manifest states."""
        y = self.head(_folded(x, self.fold))
        skips = []
        for stage, down in zip(self.encoder, self.down, strict=True):
            y = stage(y)
            skips.append(y)
            y = down(y)
        y = self.bottom(y)
        for up, stage, skip in zip(self.up, self.decoder, reversed(skips), strict=True):
            y = stage(up(y) + skip)
        out: Tensor = self.tail(y)
        return out if self.fold == 1 else functional.pixel_shuffle(out, self.fold)


def _folded(x: Tensor, fold: int) -> Tensor:
    return x if fold == 1 else functional.pixel_unshuffle(x, fold)


def _stage(width: int, blocks: int) -> nn.Sequential:
    return nn.Sequential(*(ResidualBlock(width) for _ in range(blocks)))


def _margin(shape: DrunetConfig) -> int:
    """Reach in pixels of an output pixel, rounded up to the stride.

    A cell is a square of ``fold * fold`` pixels. A stage at 1/s has two convolutions a block on
    each side (the bottom once), each reaching s cells; head and tail reach one each; going down to
    and up from a stage looks at the whole of its cell.
    """
    bottom = 2 ** (shape.stages - 1)
    reach = 2 + 2 * bottom * shape.depths[-1]
    reach += sum(2 * 2 * depth * 2**stage for stage, depth in enumerate(shape.depths[:-1]))
    reach += bottom - 1
    return shape.fold * int(-(-reach // bottom) * bottom)

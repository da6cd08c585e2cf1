"""SharpXR: U-Nets for radiographs whose skips are sharpened by a Laplacian, and a patch critic.

Sources: Abolade et al., "SharpXR" (arXiv 2508.08518) and its authors' code for the generators; the
70 x 70 PatchGAN of Isola et al. (CVPR 2017) for the critic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from model_store.generators.base import Generator
from model_store.generators.critic import Critic
from model_store.generators.layers import he_conv

_SLOPE = 0.2
_PIX2PIX_SD = 0.02


@dataclass(frozen=True, slots=True)
class SharpXrConfig:
    """Shape of a SharpXR generator; the defaults have 7,759,521 parameters.

    Parameters
    ----------
    widths : tuple of int
        Feature maps of the encoder's stages; the bottleneck has twice the last. The published
        dual form has (64, 128, 256, 512): 43,329,923 parameters.
    dual : bool
        Two decoders, a plain one and one with sharpened skips, fused by learned weights of each
        pixel. Without it one decoder, with sharpened skips.
    residual : bool
        Add the input to the output (the same number of parameters). The published network has no
        such path; with it the untrained network is the identity.
    """

    widths: tuple[int, ...] = (32, 64, 128, 256)
    dual: bool = False
    residual: bool = True


class Laplacian(nn.Module):
    """Eight times each value minus its eight neighbours, zero outside.

    This is the kernel ``[[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]]`` as a mean over 3 x 3 pixels.

    Attributes
    ----------
    taps : int
        Multiply-adds of one output value.
    """

    taps = 9

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[N, C, H, W]`` to the same shape."""
        return self.taps * (x - functional.avg_pool2d(x, 3, stride=1, padding=1))


class DoubleConv(nn.Sequential):
    """Two 3x3 convolutions with zero "same" padding, each with ReLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(he_conv(inputs, outputs), nn.ReLU(), he_conv(outputs, outputs), nn.ReLU())


class Decoder(nn.Module):
    """The upward half of the U-Net: transposed convolutions, concatenated skips, double ones.

    Parameters
    ----------
    widths : sequence of int
        Feature maps of the stages from the top, the bottleneck last.
    sharpen : bool
        Add to each skip its Laplacian.
    """

    def __init__(self, widths: Sequence[int], *, sharpen: bool) -> None:
        super().__init__()
        self.laplacian = Laplacian() if sharpen else None
        pairs = list(pairwise(widths))[::-1]
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(below, width, 2, stride=2) for width, below in pairs
        )
        self.stages = nn.ModuleList(DoubleConv(2 * width, width) for width, _ in pairs)

    def forward(self, y: Tensor, skips: Sequence[Tensor]) -> Tensor:
        """From the bottleneck's maps and the skips, top first, to ``[N, widths[0], H, W]``."""
        for up, stage, skip in zip(self.up, self.stages, reversed(skips), strict=True):
            kept = skip if self.laplacian is None else skip + self.laplacian(skip)
            y = stage(torch.cat([kept, up(y)], dim=1))
        return y


class Fusion(nn.Module):
    """Two sets of feature maps, averaged with weights that the network finds for each pixel."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weigh = nn.Sequential(
            he_conv(2 * width, width),
            nn.ReLU(),
            he_conv(width, width),
            nn.ReLU(),
            he_conv(width, 2, 1),
        )

    def forward(self, plain: Tensor, sharp: Tensor) -> Tensor:
        """Map two ``[N, width, H, W]`` to one."""
        weights = torch.softmax(self.weigh(torch.cat([plain, sharp], dim=1)), dim=1)
        return weights[:, :1] * plain + weights[:, 1:] * sharp


class SharpXr(Generator):
    """A U-Net whose decoder sees edges: skip + Laplacian(skip).

    Height and width must be multiples of ``2 ** len(widths)``. With four stages the receptive
    field reaches 107 pixels (109 with two decoders), so tiles need a margin of 112.

    Parameters
    ----------
    config : SharpXrConfig
        Widths, one decoder or two, global residual.
    """

    def __init__(self, config: SharpXrConfig | None = None) -> None:
        super().__init__()
        self.config = config or SharpXrConfig()
        widths = (*self.config.widths, 2 * self.config.widths[-1])
        self.stride = 2 ** len(self.config.widths)
        self.margin = _margin(len(self.config.widths), dual=self.config.dual)
        self.encoder = nn.ModuleList(
            DoubleConv(inputs, outputs)
            for inputs, outputs in zip((1, *widths), widths, strict=False)
        )
        self.sharp = Decoder(widths, sharpen=True)
        self.plain = Decoder(widths, sharpen=False) if self.config.dual else None
        self.fusion = Fusion(widths[0]) if self.config.dual else None
        self.last = he_conv(widths[0], 1, 1)
        if self.config.residual:
            nn.init.zeros_(self.last.weight)

    def network(self, x: Tensor) -> Tensor:
        """The bare U-Net, ``[N, 1, H, W]`` to the same."""
        *stages, bottleneck = self.encoder
        skips: list[Tensor] = []
        for stage in stages:
            skips.append(stage(x))
            x = functional.max_pool2d(skips[-1], 2)
        y = bottleneck(x)
        made = self.sharp(y, skips)
        if self.plain is not None and self.fusion is not None:
            made = self.fusion(self.plain(y, skips), made)
        out: Tensor = self.last(made)
        return out

    def residual(self, x: Tensor) -> Tensor:
        """G(x) - x for ``[N, 1, H, W]`` in the unit that the manifest states."""
        return self.network(x) if self.config.residual else self.network(x) - x


@dataclass(frozen=True, slots=True)
class PatchCriticConfig:
    """Shape of a PatchGAN critic; the defaults have 2,763,585 parameters.

    Parameters
    ----------
    width : int
        Feature maps of the first layer; the next have 2, 4 and 8 times as many.
    condition : bool
        Judge the image together with the noisy input, as a second channel (2,764,609 parameters).
    """

    width: int = 64
    condition: bool = False


class PatchCritic(Critic):
    """Five 4x4 convolutions that judge each 70 x 70 pixels, for images of any size from 32 on.

    Parameters
    ----------
    config : PatchCriticConfig
        Width and condition.
    """

    patch = None

    def __init__(self, config: PatchCriticConfig | None = None) -> None:
        super().__init__()
        shape = config or PatchCriticConfig()
        self.channels = 2 if shape.condition else 1
        widths = [shape.width * factor for factor in (1, 2, 4, 8)]
        layers: list[nn.Module] = [
            nn.Conv2d(self.channels, widths[0], 4, stride=2, padding=1),
            nn.LeakyReLU(_SLOPE),
        ]
        for inputs, outputs, stride in zip(widths, widths[1:], (2, 2, 1), strict=False):
            layers += [
                nn.Conv2d(inputs, outputs, 4, stride=stride, padding=1, bias=False),
                nn.BatchNorm2d(outputs),
                nn.LeakyReLU(_SLOPE),
            ]
        layers.append(nn.Conv2d(widths[-1], 1, 4, padding=1))
        self.layers = nn.Sequential(*layers)
        for layer in layers:
            if isinstance(layer, nn.Conv2d):
                nn.init.normal_(layer.weight, std=_PIX2PIX_SD)

    def forward(self, images: Tensor) -> Tensor:
        """A map of logits ``[N, 1, H / 8 - 2, W / 8 - 2]`` of ``[N, channels, H, W]``."""
        logits: Tensor = self.layers(images)
        return logits


def _margin(stages: int, *, dual: bool) -> int:
    """Reach in pixels of an output pixel, rounded up to the stride.

    A stage at 1/s has two convolutions on each side (the bottleneck on one), each reaching s
    pixels; the fusion has two at full size; pooling looks at its whole cell.
    """
    bottom = 2**stages
    reach = 2 * bottom + sum(4 * 2**stage for stage in range(stages)) + bottom - 1
    reach += 2 if dual else 0
    return int(-(-reach // bottom) * bottom)

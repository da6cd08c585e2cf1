"""What every generator is: a network whose output is the denoised image, with its tiling."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn


class Generator(nn.Module, ABC):
    """A denoising network ``y = x + residual(x)`` on ``[N, 1, H, W]``.

    Attributes
    ----------
    margin : int
        Overlap in pixels on each side that makes tiles seamless.
    stride : int
        Height, width and tile origins must be multiples of this.
    """

    margin: int
    stride: int

    @abstractmethod
    def residual(self, x: Tensor) -> Tensor:
        """G(x) - x, same shape and unit as `x`."""

    def forward(self, x: Tensor) -> Tensor:
        """G(x): the denoised image, same shape and unit as `x`."""
        return x + self.residual(x)

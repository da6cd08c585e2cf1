"""What every critic is: a network that tells clean from denoised images, used in training only."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn


class Critic(nn.Module, ABC):
    """Images ``[N, channels, H, W]`` to logits, higher for "clean": ``[N, 1]`` or a map of them.

    There is no sigmoid: use binary cross entropy with logits, least squares or Wasserstein losses.

    Attributes
    ----------
    channels : int
        1 for the image alone; 2 for the image and, after it, the noisy input it belongs to.
    patch : int or None
        Height and width that the images must have; None if they are free.
    """

    channels: int
    patch: int | None

    @abstractmethod
    def forward(self, images: Tensor) -> Tensor:
        """The logits of `images`."""


class FixedSizeCritic(Critic):
    """Convolutions, then two fully connected layers, so that images have one size.

    Parameters
    ----------
    body : nn.Module
        From ``[N, 1, patch, patch]`` to feature maps.
    features : int
        Values in the feature maps of one image.
    hidden : int
        Neurons of the first fully connected layer.
    patch : int
        Height and width of the images.
    """

    channels = 1
    patch: int

    def __init__(self, body: nn.Module, features: int, hidden: int, patch: int) -> None:
        super().__init__()
        self.patch = patch
        self.body = body
        self.head = nn.Sequential(
            nn.Flatten(), nn.Linear(features, hidden), nn.LeakyReLU(0.2), nn.Linear(hidden, 1)
        )

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``[N, 1]`` of ``[N, 1, patch, patch]``.

        Raises
        ------
        ValueError
            If the images are of another size.
        """
        if images.shape[2:] != (self.patch, self.patch):
            raise ValueError(
                f"this critic takes patches of {self.patch} x {self.patch} pixels, "
                f"not {' x '.join(str(size) for size in images.shape[2:])}"
            )
        logits: Tensor = self.head(self.body(images))
        return logits


def halved(size: int, times: int) -> int:
    """Size of an image after `times` convolutions of stride 2 with "same" padding."""
    for _ in range(times):
        size = -(-size // 2)
    return size

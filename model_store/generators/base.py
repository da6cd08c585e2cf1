"""What every generator is: a network whose output is the denoised image, with its tiling."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from model_store.errors import RecipeError

_NAMED = 6


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

    def trained_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Name and parameter of everything that a training run may change."""
        return self.named_parameters()

    def adopt(self, state: Mapping[str, Tensor]) -> None:
        """Start from the weights of another run.

        Parameters
        ----------
        state : mapping of str to Tensor
            A ``state_dict`` of that run's generator.

        Raises
        ------
        RecipeError
            If a tensor is missing, left over or of another shape; nothing is changed then.
        """
        load_exactly(self, state)


def load_exactly(network: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Load weights that must fit `network` tensor by tensor.

    Raises
    ------
    RecipeError
        If a tensor is missing, left over or of another shape; nothing is changed then.
    """
    own = network.state_dict()
    problems = [f"{name} is missing" for name in own if name not in state]
    problems += [f"{name} is not of this network" for name in state if name not in own]
    problems += [
        f"{name} is {list(state[name].shape)}, not {list(value.shape)}"
        for name, value in own.items()
        if name in state and state[name].shape != value.shape
    ]
    if problems:
        more = len(problems) - _NAMED
        raise RecipeError(
            f"the weights do not fit {type(network).__name__}: {'; '.join(problems[:_NAMED])}"
            + (f"; and {more} more" if more > 0 else "")
        )
    network.load_state_dict(dict(state))


def tensors(weights: Mapping[str, NDArray[Any]]) -> dict[str, Tensor]:
    """A version's weights as torch takes them; the arrays are copied."""
    return {name: torch.from_numpy(array.copy()) for name, array in weights.items()}

"""Losses: weighted sums of named terms, each a mean over weighted patches."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from model_store.training.recipe import LossTerm

Term = Callable[[Tensor], Tensor]

_CHARBONNIER_EPSILON = 1e-3


def _square(difference: Tensor) -> Tensor:
    return difference * difference


def _charbonnier(difference: Tensor) -> Tensor:
    return torch.sqrt(difference * difference + _CHARBONNIER_EPSILON**2)


class Loss:
    """A weighted sum of terms of the difference between prediction and target.

    Parameters
    ----------
    terms : sequence of LossTerm
        Names and weights.
    scale : float
        Factor on the difference, so that the loss is near 1 rather than near 1e-5.
    """

    def __init__(self, terms: Sequence[LossTerm], scale: float = 100.0) -> None:
        known: dict[str, Term] = {
            "mse": _square,
            "mae": torch.abs,
            "charbonnier": _charbonnier,
        }
        self._terms = [(known[term.name], term.weight) for term in terms]
        self._scale = scale

    def __call__(self, prediction: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        """Loss of a batch.

        Parameters
        ----------
        prediction, target : Tensor of shape (N, 1, H, W)
            Images in network input units.
        weight : Tensor of shape (N, 1, 1, 1)
            Weight of each patch.
        """
        difference = (prediction.float() - target) * self._scale
        total = torch.zeros(())
        for term, factor in self._terms:
            total = total + factor * (weight * term(difference)).mean()
        return total

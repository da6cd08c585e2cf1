"""Cascade of DRL: a denoiser, then networks that predict what is still wrong (Ataei et al. 2020).

Source: arXiv 2006.14738, section II.D; the stacked input after Wu et al. (arXiv 1705.04267). Level
1 is a DRL. A further level f is trained on the output Yhat of the levels before it to predict the
difference image Yhat - Y, and the cascade's output is Yhat - f(Yhat). Each may be a CNN10 instead:
the further ones for the comparison of the publication's Figure 5, all of them for Wu et al.'s.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from model_store.errors import RecipeError
from model_store.generators.base import Generator, load_exactly
from model_store.generators.cnn10 import Cnn10, Cnn10Config
from model_store.generators.drl import Drl, DrlConfig

_LEVEL = re.compile(r"levels\.(\d+)\.")

NetworkName = Literal["drl", "cnn10"]


@dataclass(frozen=True, slots=True)
class DrlCascadeConfig:
    """Shape of a cascade.

    Parameters
    ----------
    width : int
        Feature maps of the hidden layers of every level.
    levels : int
        Networks in a row, at least 2; 2 DRL have 451,202 parameters, 3 have 676,803, 2 CNN10 have
        671,746 (moving statistics included).
    blend : float
        Share of the change that is applied, 0..1: ``y = x + blend * (G(x) - x)``. 0.7 is 0.3 of
        the input and 0.7 of the prediction.
    stack_input : bool
        Give the levels from the second on the cascade's input as a second channel.
    first, further : {"drl", "cnn10"}
        Network of the first level, and of those after it.
    """

    width: int = 64
    levels: int = 2
    blend: float = 1.0
    stack_input: bool = False
    first: NetworkName = "drl"
    further: NetworkName = "drl"


class DrlCascade(Generator):
    """A denoiser and one or more difference networks, of which the last is trained.

    The levels before the last are frozen: they do not require gradients, and their batch
    normalisation keeps its statistics in training mode as well. A difference network has no
    internal path from input to output, so an untrained last level changes nothing. The blend is
    applied in evaluation mode alone, since a network trained through it would undo it.

    Parameters
    ----------
    config : DrlCascadeConfig
        Width, number of levels, blend, whether the input is stacked, and the networks.
    """

    stride = 1

    def __init__(self, config: DrlCascadeConfig | None = None) -> None:
        super().__init__()
        self.config = config or DrlCascadeConfig()
        shape = self.config
        inputs = 2 if shape.stack_input else 1
        networks = [_network(shape.first, shape.width, 1)]
        networks += [_network(shape.further, shape.width, inputs) for _ in range(1, shape.levels)]
        self.margin = sum(network.margin for network in networks)
        self.levels = nn.ModuleList(networks)
        for level in self._frozen():
            level.requires_grad_(False)
        self.train()

    def train(self, mode: bool = True) -> DrlCascade:
        """Set the mode of the last level; the others stay in evaluation mode."""
        super().train(mode)
        for level in self._frozen():
            level.eval()
        return self

    def residual(self, x: Tensor) -> Tensor:
        """G(x) - x for ``[N, 1, H, W]`` in the unit that the manifest states."""
        first, *further = self._networks()
        change = first.residual(x)
        for level in further:
            image = x + change
            seen = torch.cat([image, x], dim=1) if self.config.stack_input else image
            change = change - level.residual(seen)
        return change if self.training else self.config.blend * change

    def trained_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Name and parameter of the last level."""
        last = f"levels.{len(self.levels) - 1}."
        return (item for item in self.named_parameters() if item[0].startswith(last))

    def adopt(self, state: Mapping[str, Tensor]) -> None:
        """Start from the weights of the levels before the last, or of a whole cascade.

        Parameters
        ----------
        state : mapping of str to Tensor
            Of a cascade of k levels: the ``state_dict`` of one of k - 1 (of a single network if k
            is 2), which becomes the frozen levels, or of one of k, from which training goes on.

        Raises
        ------
        RecipeError
            If it is of another number of levels, width, input or network; nothing is changed then.
        """
        levels = len(self.levels)
        found = max(len({match[1] for match in map(_LEVEL.match, state) if match}), 1)
        if found == levels:
            load_exactly(self, state)
            return
        if found != levels - 1:
            raise RecipeError(
                f"a cascade of {levels} levels starts from one of {levels - 1} (a single network "
                f"is one of 1) or of {levels}, not of {found}: train the levels one after the other"
            )
        names = (name if _LEVEL.match(name) else f"levels.0.{name}" for name in state)
        load_exactly(
            self.levels[:-1],
            {
                name.removeprefix("levels."): value
                for name, value in zip(names, state.values(), strict=True)
            },
        )

    def _networks(self) -> list[Generator]:
        return [level for level in self.levels if isinstance(level, Generator)]

    def _frozen(self) -> list[Generator]:
        return self._networks()[:-1]


def _network(kind: NetworkName, width: int, inputs: int) -> Generator:
    if kind == "cnn10":
        return Cnn10(Cnn10Config(width, inputs))
    return Drl(DrlConfig(width, inputs))

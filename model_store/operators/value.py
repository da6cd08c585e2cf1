"""Tensors on their way through a graph, and the nodes that they go through."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from model_store.errors import GraphError

IMAGE_RANK: Final = 4
MOST_KNOWN: Final = 4096
"""Numbers of a tensor that is worked out, as shapes are; larger ones are weights."""

Array = NDArray[Any]
Shape = tuple[int, ...]
Attribute = list[int] | Array | str


@dataclass(frozen=True, slots=True)
class Value:
    """A tensor.

    Parameters
    ----------
    shape : tuple of int
        For an input of one size.
    image : bool
        Whether it depends on what is in the pixels, and not on sizes and constants alone.
    known : ndarray, optional
        Its numbers: those of a constant, or few that follow from sizes.
    mixed : int
        How many numbers along axes each of its own is made of: what a sum, a mean or a softmax
        goes over.
    macs : int
        Multiply-adds that making it takes.
    """

    shape: Shape
    image: bool
    known: Array | None = None
    mixed: int = 1
    macs: int = 0

    @classmethod
    def constant(cls, array: Array) -> Value:
        """A weight, or a number that is known."""
        return cls(array.shape, image=False, known=array)

    @property
    def size(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True)
class GraphNode:
    """An operator with its inputs, as the file has it.

    Parameters
    ----------
    operator : str
        As ONNX names it.
    where : str
        The node in words, for errors.
    inputs, outputs : sequence of str
        Names of tensors; empty for an input that is left out.
    attributes : mapping
        By name.
    """

    operator: str
    where: str
    inputs: Sequence[str]
    outputs: Sequence[str]
    attributes: Mapping[str, Attribute]

    def integers(self, name: str) -> list[int] | None:
        """An attribute of whole numbers; None if it is left out."""
        found = self.attributes.get(name)
        if found is None or isinstance(found, list):
            return found
        if isinstance(found, np.ndarray) and not found.size:
            return []
        raise self.wrong(f"{name} is not of whole numbers")

    def integer(self, name: str, default: int) -> int:
        """An attribute of one whole number."""
        found = self.integers(name)
        return found[0] if found else default

    def word(self, name: str, default: str) -> str:
        """An attribute of one word."""
        found = self.attributes.get(name, default)
        return found if isinstance(found, str) else default

    def wrong(self, said: str) -> GraphError:
        """The error that says what is wrong with this node."""
        return GraphError(f"{self.where}: {said}")

    def given(self, values: Sequence[Value | None], place: int, what: str = "input") -> Value:
        """An input that must be there."""
        found = values[place] if place < len(values) else None
        if found is None:
            raise self.wrong(f"{what} is missing")
        return found

    def numbers(self, values: Sequence[Value | None], place: int, what: str) -> list[int] | None:
        """An input of whole numbers that follow from sizes; None if it is left out."""
        found = values[place] if place < len(values) else None
        if found is None:
            return None
        if found.known is None or found.known.size > MOST_KNOWN or found.known.ndim > 1:
            raise self.wrong(f"{what} must follow from constants and the sizes of the image")
        return [int(each) for each in found.known.reshape(-1)]

    def axis(self, axis: int, rank: int) -> int:
        """An axis counted from the front."""
        if not -rank <= axis < rank:
            raise self.wrong(f"there is no axis {axis} among {rank}")
        return axis % rank

    def axes(self, values: Sequence[Value | None], place: int) -> list[int] | None:
        """Axes by attribute, or by input as later operator sets have it."""
        return self.integers("axes") if "axes" in self.attributes else self.numbers(
            values, place, "axes"
        )  # fmt: skip


Rule = Callable[[GraphNode, Sequence[Value | None]], Value | list[Value]]
"""What a node makes of its inputs; raises `GraphError` if it must not be so."""


def pixels_in(values: Sequence[Value | None]) -> bool:
    """Whether any of them depends on the pixels."""
    return any(value.image for value in values if value is not None)


def few(values: Sequence[Value | None]) -> list[Array] | None:
    """The numbers of all inputs, if all are known and few."""
    known = [value.known for value in values if value is not None]
    if any(each is None or each.size > MOST_KNOWN for each in known):
        return None
    return [each for each in known if each is not None]

"""Operators that work number by number."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from model_store.operators.value import MOST_KNOWN, Array, GraphNode, Rule, Value, few, pixels_in

ACTIVATIONS: Final = (
    "Celu", "Clip", "Elu", "Erf", "Exp", "Gelu", "HardSigmoid", "HardSwish", "LeakyRelu", "Log",
    "Mish", "PRelu", "Relu", "Selu", "Sigmoid", "Softplus", "Softsign", "Tanh",
)  # fmt: skip
ARITHMETIC: Final = (
    "Abs", "Add", "Ceil", "Cos", "Div", "Floor", "Max", "Mean", "Min", "Mod", "Mul", "Neg", "Pow",
    "Reciprocal", "Round", "Sign", "Sin", "Sqrt", "Sub", "Sum",
)  # fmt: skip
CHOICES: Final = (
    "And", "Cast", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Not", "Or",
    "Where",
)  # fmt: skip


def _divided(one: Array, other: Array) -> Any:
    whole = one.dtype.kind == "i" and other.dtype.kind == "i"
    return np.floor_divide(one, other) if whole else np.divide(one, other)


_WORKED_OUT: Mapping[str, Callable[..., Any]] = {
    "Abs": np.abs, "Add": np.add, "And": np.logical_and, "Ceil": np.ceil, "Div": _divided,
    "Equal": np.equal, "Floor": np.floor, "Greater": np.greater, "GreaterOrEqual": np.greater_equal,
    "Less": np.less, "LessOrEqual": np.less_equal, "Max": np.maximum, "Min": np.minimum,
    "Mod": np.mod, "Mul": np.multiply, "Neg": np.negative, "Not": np.logical_not,
    "Or": np.logical_or, "Round": np.rint, "Sqrt": np.sqrt, "Sub": np.subtract, "Where": np.where,
}  # fmt: skip
_ARGUMENTS: Final = {
    1: {"Abs", "Ceil", "Floor", "Neg", "Not", "Round", "Sqrt"},
    3: {"Where"},
}
_CASTS: Final = {1: np.float32, 6: np.int32, 7: np.int64, 9: np.bool_}


def elementwise(node: GraphNode, values: Sequence[Value | None]) -> Value:
    """Any operator whose result at a place depends on its inputs at that place alone."""
    node.given(values, 0)
    shapes = [value.shape for value in values if value is not None]
    try:
        shape = np.broadcast_shapes(*shapes)
    except ValueError as error:
        raise node.wrong(f"the shapes {shapes} do not go together") from error
    return Value(shape, pixels_in(values), _worked_out(node, values))


def _worked_out(node: GraphNode, values: Sequence[Value | None]) -> Array | None:
    work, known = _WORKED_OUT.get(node.operator), few(values)
    if work is None or known is None or None in values:
        return None
    wanted = next((count for count, those in _ARGUMENTS.items() if node.operator in those), 2)
    if len(known) != wanted:
        return None
    with np.errstate(all="ignore"):
        made = np.asarray(work(*known))
    return made if made.size <= MOST_KNOWN else None


def cast(node: GraphNode, values: Sequence[Value | None]) -> Value:
    """To float32, int32, int64 or bool."""
    source = node.given(values, 0)
    kind = _CASTS.get(node.integer("to", 0))
    if kind is None:
        raise node.wrong("casts to another type than float32, int32, int64 and bool")
    known = few([source])
    with np.errstate(all="ignore"):
        made: Array | None = known[0].astype(kind) if known else None
    return Value(source.shape, source.image, made)


RULES: Mapping[str, Rule] = {
    **dict.fromkeys((*ACTIVATIONS, *ARITHMETIC, *CHOICES), elementwise),
    "Cast": cast,
}

"""Operators that sum along axes: products of matrices, softmax, means."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from model_store.operators.value import GraphNode, Rule, Shape, Value, few, pixels_in

PRODUCTS: Final = ("Einsum", "Gemm", "MatMul")
SOFTMAX: Final = ("LogSoftmax", "Softmax")
REDUCTIONS: Final = (
    "ReduceL1", "ReduceL2", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum",
    "ReduceSumSquare",
)  # fmt: skip

_MATRIX: Final = 2
_WORKED_OUT: Mapping[str, Callable[..., Any]] = {
    "ReduceMax": np.max, "ReduceMin": np.min, "ReduceProd": np.prod, "ReduceSum": np.sum,
}  # fmt: skip


def matmul(node: GraphNode, values: Sequence[Value | None]) -> Value:
    """MatMul of matrices or stacks of them."""
    one, other = node.given(values, 0), node.given(values, 1)
    if min(len(one.shape), len(other.shape)) < _MATRIX or one.shape[-1] != other.shape[-2]:
        raise node.wrong(f"{list(one.shape)} and {list(other.shape)} cannot be multiplied")
    try:
        stack = np.broadcast_shapes(one.shape[:-2], other.shape[:-2])
    except ValueError as error:
        raise node.wrong(f"{list(one.shape)} and {list(other.shape)} do not go together") from error
    return _product(values, (*stack, one.shape[-2], other.shape[-1]), one.shape[-1])


def gemm(node: GraphNode, values: Sequence[Value | None]) -> Value:
    """Gemm: one matrix by another."""
    one, other = node.given(values, 0).shape, node.given(values, 1).shape
    if len(one) != _MATRIX or len(other) != _MATRIX:
        raise node.wrong("it takes matrices")
    one = one[::-1] if node.integer("transA", 0) else one
    other = other[::-1] if node.integer("transB", 0) else other
    if one[1] != other[0]:
        raise node.wrong(f"{list(one)} and {list(other)} cannot be multiplied")
    return _product(values, (one[0], other[1]), one[1])


def einsum(node: GraphNode, values: Sequence[Value | None]) -> Value:
    """Einsum that names every axis of its inputs and of its output."""
    equation = node.word("equation", "").replace(" ", "")
    left, arrow, right = equation.partition("->")
    terms = left.split(",")
    if not arrow or "." in equation or len(terms) != len(values):
        raise node.wrong(f"the equation {equation!r} must name every axis, and those of the output")
    sides: dict[str, int] = {}
    for term, value in zip(terms, values, strict=True):
        shape = () if value is None else value.shape
        if len(term) != len(shape):
            raise node.wrong(f"{term!r} does not name the axes of {list(shape)}")
        for letter, side in zip(term, shape, strict=True):
            if sides.setdefault(letter, side) != side:
                raise node.wrong(f"axis {letter!r} has {side} and {sides[letter]} places")
    if not set(right) <= set(sides):
        raise node.wrong(f"the equation {equation!r} makes axes from nothing")
    summed = math.prod(side for letter, side in sides.items() if letter not in right)
    return _product(values, tuple(sides[letter] for letter in right), summed)


def _product(values: Sequence[Value | None], shape: Shape, summed: int) -> Value:
    return Value(shape, pixels_in(values), mixed=summed, macs=math.prod(shape) * summed)


def along_axis(node: GraphNode, values: Sequence[Value | None]) -> Value:
    """Softmax, LogSoftmax and LpNormalization: along one axis."""
    source = node.given(values, 0)
    axis = node.axis(node.integer("axis", -1), len(source.shape))
    return Value(source.shape, source.image, mixed=source.shape[axis])


def reduced(node: GraphNode, values: Sequence[Value | None]) -> Value:
    """Sum, mean, largest or least along axes."""
    source = node.given(values, 0)
    rank = len(source.shape)
    axes = node.axes(values, 1)
    if not axes and node.integer("noop_with_empty_axes", 0):
        return source
    over = {node.axis(axis, rank) for axis in axes} if axes else set(range(rank))
    keep = bool(node.integer("keepdims", 1))
    shape = tuple(
        1 if axis in over else side for axis, side in enumerate(source.shape)
        if keep or axis not in over
    )  # fmt: skip
    work, known = _WORKED_OUT.get(node.operator), few([source])
    made = None
    if work is not None and known:
        made = np.asarray(work(known[0], axis=tuple(sorted(over)), keepdims=keep))
        made = made.astype(known[0].dtype)
    return Value(
        shape, source.image, made, mixed=math.prod(source.shape[axis] for axis in over)
    )  # fmt: skip


RULES: Mapping[str, Rule] = {
    "Einsum": einsum, "Gemm": gemm, "LogSoftmax": along_axis, "MatMul": matmul,
    "Softmax": along_axis,
    **dict.fromkeys(REDUCTIONS, reduced),
}  # fmt: skip

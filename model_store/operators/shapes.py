"""Operators that move numbers about: other shapes, parts, and joints; and sizes as numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from model_store.operators.value import (
    MOST_KNOWN,
    Array,
    GraphNode,
    Rule,
    Shape,
    Value,
    few,
    pixels_in,
)

MOVING: Final = (
    "Concat", "Expand", "Flatten", "Gather", "Identity", "Reshape", "Slice", "Split", "Squeeze",
    "Tile", "Transpose", "Unsqueeze",
)  # fmt: skip
SIZES: Final = ("Constant", "ConstantOfShape", "Range", "Shape", "Size")

_RANGE: Final = 3
_NO_LIMIT: Final = 1 << 31
_LITERALS: Final = {
    "value_int": np.int64, "value_ints": np.int64, "value_float": np.float32,
    "value_floats": np.float32,
}  # fmt: skip


def literal(node: GraphNode, values: Sequence[Value | None]) -> Value:
    """Constant: one tensor, or numbers."""
    name, value = next(iter(node.attributes.items()), ("", None))
    if values or len(node.attributes) != 1 or name not in {"value", *_LITERALS}:
        raise node.wrong("only a constant that is one tensor is allowed")
    if name == "value" and not isinstance(value, np.ndarray):
        raise node.wrong("only a constant that is one tensor is allowed")
    if name == "value":
        return Value.constant(np.asarray(value))
    array = np.asarray(value, _LITERALS[name])
    return Value.constant(array if name.endswith("s") else array.reshape(-1)[:1].reshape(()))


def shape_of(node: GraphNode, values: Sequence[Value | None]) -> Value:
    """Shape: the sides as numbers; they depend on no pixel."""
    source = node.given(values, 0)
    start, end = node.integer("start", 0), node.integer("end", _NO_LIMIT)
    return Value.constant(np.array(source.shape[start:end], np.int64))


def size_of(node: GraphNode, values: Sequence[Value | None]) -> Value:
    """Size: how many numbers there are."""
    return Value.constant(np.array(node.given(values, 0).size, np.int64))


def reshaped(node: GraphNode, values: Sequence[Value | None]) -> Value:
    """Reshape to what follows from sizes; 0 takes a side over, -1 is what is left."""
    source = node.given(values, 0)
    wanted = node.numbers(values, 1, "the shape")
    if wanted is None or (node.integer("allowzero", 0) and 0 in wanted):
        raise node.wrong("the shape is missing")
    shape = [
        source.shape[axis] if side == 0 and axis < len(source.shape) else side
        for axis, side in enumerate(wanted)
    ]
    if shape.count(-1) == 1:
        rest = math.prod(side for side in shape if side != -1)
        shape[shape.index(-1)] = source.size // rest if rest else 0
    if min(shape, default=1) < 0 or math.prod(shape) != source.size:
        raise node.wrong(f"{list(source.shape)} does not go into the shape {wanted}")
    return _same_numbers(source, tuple(shape))


def flattened(node: GraphNode, values: Sequence[Value | None]) -> Value:
    """Flatten to a matrix."""
    source = node.given(values, 0)
    axis = node.integer("axis", 1)
    axis = axis + len(source.shape) if axis < 0 else axis
    shape = (math.prod(source.shape[:axis]), math.prod(source.shape[axis:]))
    return _same_numbers(source, shape)


def squeezed(node: GraphNode, values: Sequence[Value | None]) -> Value:
    """Squeeze: without axes of one place."""
    source = node.given(values, 0)
    rank = len(source.shape)
    axes = node.axes(values, 1)
    gone = (
        {node.axis(axis, rank) for axis in axes} if axes is not None
        else {axis for axis, side in enumerate(source.shape) if side == 1}
    )  # fmt: skip
    if any(source.shape[axis] != 1 for axis in gone):
        raise node.wrong(f"an axis of {list(source.shape)} has more than one place")
    return _same_numbers(
        source, tuple(side for axis, side in enumerate(source.shape) if axis not in gone)
    )


def unsqueezed(node: GraphNode, values: Sequence[Value | None]) -> Value:
    """Unsqueeze: with axes of one place more."""
    source = node.given(values, 0)
    axes = node.axes(values, 1)
    if not axes:
        raise node.wrong("axes are missing")
    rank = len(source.shape) + len(axes)
    new = {node.axis(axis, rank) for axis in axes}
    if len(new) != len(axes):
        raise node.wrong(f"axes are {axes}")
    sides = iter(source.shape)
    return _same_numbers(
        source, tuple(1 if axis in new else next(sides) for axis in range(rank))
    )  # fmt: skip


def _same_numbers(source: Value, shape: Shape) -> Value:
    known = None if source.known is None else source.known.reshape(shape)
    return Value(shape, source.image, known)


def transposed(node: GraphNode, values: Sequence[Value | None]) -> Value:
    """Transpose."""
    source = node.given(values, 0)
    rank = len(source.shape)
    order = node.integers("perm") or list(range(rank))[::-1]
    if sorted(order) != list(range(rank)):
        raise node.wrong(f"{order} is no order of {rank} axes")
    known = None if source.known is None else source.known.transpose(order)
    return Value(tuple(source.shape[axis] for axis in order), source.image, known)


def joined(node: GraphNode, values: Sequence[Value | None]) -> Value:
    """Concat along an axis."""
    parts = [value for value in values if value is not None]
    if not parts or len(parts) != len(values) or "axis" not in node.attributes:
        raise node.wrong("it must join tensors along an axis")
    shapes = [part.shape for part in parts]
    axis = node.axis(node.integer("axis", 0), len(shapes[0]))
    others = {(*shape[:axis], *shape[axis + 1 :]) for shape in shapes}
    if len(others) != 1 or len({len(shape) for shape in shapes}) != 1:
        raise node.wrong(f"the shapes {shapes} cannot be joined along axis {axis}")
    shape = (*shapes[0][:axis], sum(each[axis] for each in shapes), *shapes[0][axis + 1 :])
    known = few(parts)
    return Value(shape, pixels_in(parts), np.concatenate(known, axis) if known else None)


def divided(node: GraphNode, values: Sequence[Value | None]) -> list[Value]:
    """Split along an axis."""
    source = node.given(values, 0)
    axis = node.axis(node.integer("axis", 0), len(source.shape))
    side, count = source.shape[axis], len(node.outputs)
    lengths = node.integers("split") or node.numbers(values, 1, "the lengths")
    if lengths is None:
        each = -(-side // count)
        lengths = [min(each, side - each * place) for place in range(count)]
    if len(lengths) != count or sum(lengths) != side or min(lengths) < 0:
        raise node.wrong(f"{side} is not divided into {lengths}")
    stops = np.cumsum(lengths)
    known = few([source])
    parts = np.split(known[0], stops[:-1], axis) if known else [None] * count
    return [
        Value((*source.shape[:axis], length, *source.shape[axis + 1 :]), source.image, part)
        for length, part in zip(lengths, parts, strict=True)
    ]


def sliced(node: GraphNode, values: Sequence[Value | None]) -> Value:
    """Slice along axes, from and to what follows from sizes."""
    source = node.given(values, 0)
    starts, ends = node.numbers(values, 1, "starts"), node.numbers(values, 2, "ends")
    axes, steps = node.numbers(values, 3, "axes"), node.numbers(values, 4, "steps")
    if starts is None or ends is None or node.attributes:
        raise node.wrong("starts and ends must be inputs")
    axes = list(range(len(starts))) if axes is None else axes
    steps = [1] * len(starts) if steps is None else steps
    if not len(starts) == len(ends) == len(axes) == len(steps) or 0 in steps:
        raise node.wrong("starts, ends, axes and steps do not go together")
    shape = list(source.shape)
    cut: list[slice] = [slice(None)] * len(shape)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        place = node.axis(axis, len(shape))
        backwards_to_the_front = step < 0 and end < -shape[place]
        cut[place] = slice(start, None if backwards_to_the_front else end, step)
        shape[place] = len(range(shape[place])[cut[place]])
    known = few([source])
    return Value(tuple(shape), source.image, known[0][tuple(cut)] if known else None)


def gathered(node: GraphNode, values: Sequence[Value | None]) -> Value:
    """Gather: places along an axis, by constants or by what follows from sizes."""
    source, places = node.given(values, 0), node.given(values, 1)
    axis = node.axis(node.integer("axis", 0), len(source.shape))
    shape = (*source.shape[:axis], *places.shape, *source.shape[axis + 1 :])
    known = few([source, places])
    made: Array | None = None
    if places.image:
        raise node.wrong("the places must not depend on pixels")
    if known:
        try:
            made = np.take(known[0], known[1].astype(np.int64), axis)
        except IndexError as error:
            raise node.wrong("takes a place that there is not") from error
    return Value(shape, source.image, made)


def expanded(node: GraphNode, values: Sequence[Value | None]) -> Value:
    """Expand to a shape that follows from sizes."""
    source, wanted = node.given(values, 0), node.numbers(values, 1, "the shape")
    try:
        shape = np.broadcast_shapes(source.shape, tuple(wanted or ()))
    except ValueError as error:
        raise node.wrong(f"{list(source.shape)} does not go into the shape {wanted}") from error
    known = few([source])
    if known and math.prod(shape) <= MOST_KNOWN:
        return Value(shape, source.image, np.broadcast_to(known[0], shape))
    return Value(shape, source.image)


def tiled(node: GraphNode, values: Sequence[Value | None]) -> Value:
    """Tile: side by side, as often as follows from sizes."""
    source, times = node.given(values, 0), node.numbers(values, 1, "the repeats")
    if times is None or len(times) != len(source.shape) or min(times, default=1) < 0:
        raise node.wrong(f"repeats are {times} for {list(source.shape)}")
    shape = tuple(side * count for side, count in zip(source.shape, times, strict=True))
    known = few([source])
    if known and math.prod(shape) <= MOST_KNOWN:
        return Value(shape, source.image, np.tile(known[0], times))
    return Value(shape, source.image)


def filled(node: GraphNode, values: Sequence[Value | None]) -> Value:
    """ConstantOfShape: one number everywhere."""
    shape = tuple(node.numbers(values, 0, "the shape") or ())
    value = node.attributes.get("value", np.zeros(1, np.float32))
    if not isinstance(value, np.ndarray) or value.size != 1 or min(shape, default=0) < 0:
        raise node.wrong("it must hold one number in a shape that follows from sizes")
    if math.prod(shape) > MOST_KNOWN:
        return Value(shape, image=False)
    return Value.constant(np.full(shape, value.reshape(())))


def counted(node: GraphNode, values: Sequence[Value | None]) -> Value:
    """Range between numbers that follow from sizes."""
    known = few(values)
    if known is None or len(known) != _RANGE or any(each.size != 1 for each in known):
        raise node.wrong("start, limit and step must follow from sizes")
    start, limit, step = (float(each.reshape(())) for each in known)
    count = max(math.ceil((limit - start) / step), 0) if step and math.isfinite(limit) else -1
    if count < 0:
        raise node.wrong("it has no end")
    if count > MOST_KNOWN:
        return Value((count,), image=False)
    return Value.constant((start + step * np.arange(count)).astype(known[0].dtype))


def same(node: GraphNode, values: Sequence[Value | None]) -> Value:
    """Identity."""
    if len(values) != 1 or node.attributes:
        raise node.wrong("it must take one value and nothing else")
    source = node.given(values, 0)
    return Value(source.shape, source.image, source.known)


RULES: Mapping[str, Rule] = {
    "Concat": joined, "Constant": literal, "ConstantOfShape": filled, "Expand": expanded,
    "Flatten": flattened, "Gather": gathered, "Identity": same, "Range": counted,
    "Reshape": reshaped, "Shape": shape_of, "Size": size_of, "Slice": sliced, "Split": divided,
    "Squeeze": squeezed, "Tile": tiled, "Transpose": transposed, "Unsqueeze": unsqueezed,
}  # fmt: skip

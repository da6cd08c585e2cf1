"""Operators of images: convolutions, pooling, other sizes, padding, and normalisation."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

from model_store.operators.products import along_axis
from model_store.operators.value import IMAGE_RANK, Array, GraphNode, Rule, Shape, Value, pixels_in

LONGEST_STEP: Final = 64
"""Pixels; of a kernel, stride, dilation or padding."""

CONVOLUTIONS: Final = ("Conv", "ConvTranspose")
POOLING: Final = ("AveragePool", "MaxPool")
SIZES: Final = ("DepthToSpace", "Pad", "Resize", "SpaceToDepth")
NORMS: Final = ("BatchNormalization", "LayerNormalization", "LpNormalization")

_ROI_SCALES_SIZES: Final = 4
_FIRST_PARAMETER: Final = 1


def _image(node: GraphNode, values: Sequence[Value | None]) -> Value:
    source = node.given(values, 0)
    if not source.image or len(source.shape) != IMAGE_RANK:
        raise node.wrong("it must take an image")
    return source


def _weights(node: GraphNode, values: Sequence[Value | None]) -> tuple[Value, Array]:
    source = node.given(values, 0)
    weights = values[1].known if len(values) > 1 and values[1] is not None else None
    usable = source.image and len(source.shape) == IMAGE_RANK
    if weights is None or weights.ndim != IMAGE_RANK or not usable:
        raise node.wrong("it must take an image and constant weights of four dimensions")
    if max(weights.shape[2:]) > LONGEST_STEP:
        raise node.wrong(f"its kernel is {weights.shape[2:]}; {LONGEST_STEP} at most")
    return source, weights


def convolution(node: GraphNode, values: Sequence[Value | None]) -> Value:
    """Conv in two dimensions."""
    source, weights = _weights(node, values)
    group = node.integer("group", 1)
    if source.shape[1] != weights.shape[1] * group or weights.shape[0] % max(group, 1):
        raise node.wrong(
            f"weights {list(weights.shape)} in {group} groups are not for {source.shape[1]} "
            "channels"
        )
    sides = _slid(node, source.shape[2:], weights.shape[2:])
    shape = (source.shape[0], weights.shape[0], *sides)
    macs = math.prod(shape) * math.prod(weights.shape[1:])
    return Value(shape, image=True, macs=macs)


def transposed(node: GraphNode, values: Sequence[Value | None]) -> Value:
    """ConvTranspose in two dimensions."""
    source, weights = _weights(node, values)
    group = node.integer("group", 1)
    if source.shape[1] != weights.shape[0]:
        raise node.wrong(f"weights {list(weights.shape)} are not for {source.shape[1]} channels")
    if "output_shape" in node.attributes or node.word("auto_pad", "NOTSET") != "NOTSET":
        raise node.wrong("its size must follow from strides and pads")
    pads = _two(node, "pads", 4, 0)
    sides = [
        stride * (side - 1) + more + dilation * (kernel - 1) + 1 - pads[axis] - pads[axis + 2]
        for axis, (side, kernel, stride, dilation, more) in enumerate(
            zip(source.shape[2:], weights.shape[2:], _two(node, "strides", 2, 1),
                _two(node, "dilations", 2, 1), _two(node, "output_padding", 2, 0), strict=True)
        )
    ]  # fmt: skip
    shape = (source.shape[0], weights.shape[1] * group, *sides)
    macs = source.size * math.prod(weights.shape[1:])
    return Value(shape, image=True, macs=macs)


def pooled(node: GraphNode, values: Sequence[Value | None]) -> Value:
    """AveragePool and MaxPool in two dimensions."""
    source = _image(node, values)
    kernel = node.integers("kernel_shape")
    if kernel is None or len(kernel) != IMAGE_RANK - 2:
        raise node.wrong("it must state a kernel of two sides")
    sides = _slid(node, source.shape[2:], tuple(kernel))
    return Value((*source.shape[:2], *sides), image=True)


def _two(node: GraphNode, name: str, count: int, default: int) -> list[int]:
    found = node.integers(name)
    if found is not None and len(found) != count:
        raise node.wrong(f"{name} are {found}, not {count} numbers")
    found = found if found is not None else [default] * count
    if name in {"strides", "dilations"} and min(found) < 1:
        raise node.wrong(f"{name} are {found}")
    return found


def _slid(node: GraphNode, sides: Shape, kernel: Shape) -> list[int]:
    """Sides of what a kernel makes that slides over an image."""
    strides, dilations = _two(node, "strides", 2, 1), _two(node, "dilations", 2, 1)
    pads = _two(node, "pads", 4, 0)
    how, ceil = node.word("auto_pad", "NOTSET"), node.integer("ceil_mode", 0)
    made = []
    for axis, (side, length, stride, dilation) in enumerate(
        zip(sides, kernel, strides, dilations, strict=True)
    ):
        if how in {"SAME_UPPER", "SAME_LOWER"}:
            made.append(-(-side // stride))
            continue
        padded = side + (pads[axis] + pads[axis + 2] if how == "NOTSET" else 0)
        room = padded - dilation * (length - 1) - 1
        made.append((-(-room // stride) if ceil else room // stride) + 1)
    return made


def resized(node: GraphNode, values: Sequence[Value | None]) -> Value:
    """Resize by scales, or to sizes that follow from those of the image."""
    source = node.given(values, 0)
    factors = values[2] if len(values) > _ROI_SCALES_SIZES - 2 else None
    sizes = node.numbers(values, _ROI_SCALES_SIZES - 1, "sizes")
    if node.word("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise node.wrong("it must not keep the aspect ratio by itself")
    axes = node.integers("axes")
    axes = list(range(len(source.shape))) if axes is None else axes
    shape = list(source.shape)
    if sizes is None:
        known = None if factors is None else factors.known
        if known is None or known.shape != (len(axes),) or not bool((known > 0).all()):
            raise node.wrong("it must have scales, or sizes, that follow from those of the image")
        sizes = [
            math.floor(shape[node.axis(axis, len(shape))] * float(scale))
            for axis, scale in zip(axes, known, strict=True)
        ]
    if len(sizes) != len(axes):
        raise node.wrong(f"{len(sizes)} sizes for {len(axes)} axes")
    for axis, size in zip(axes, sizes, strict=True):
        shape[node.axis(axis, len(shape))] = size
    if len(shape) == IMAGE_RANK and tuple(shape[:2]) != source.shape[:2]:
        raise node.wrong("it must change height and width alone")
    return Value(tuple(shape), source.image)


def padded(node: GraphNode, values: Sequence[Value | None]) -> Value:
    """Pad by constants, or by what follows from the sizes of the image."""
    source = node.given(values, 0)
    pads = node.numbers(values, 1, "pads")
    axes = node.numbers(values, 3, "axes")
    axes = list(range(len(source.shape))) if axes is None else axes
    if pads is None or len(pads) != 2 * len(axes):
        raise node.wrong("it must state a padding before and after each axis")
    shape = list(source.shape)
    for place, axis in enumerate(axes):
        shape[node.axis(axis, len(shape))] += pads[place] + pads[place + len(axes)]
    return Value(tuple(shape), source.image)


def to_space(node: GraphNode, values: Sequence[Value | None]) -> Value:
    """DepthToSpace: channels become pixels (pixel shuffle)."""
    n, channels, rows, columns = _image(node, values).shape
    side = node.integer("blocksize", 0)
    if not 0 < side <= LONGEST_STEP or channels % side**2:
        raise node.wrong(f"{channels} channels are no blocks of {side} x {side}")
    return Value((n, channels // side**2, rows * side, columns * side), image=True)


def to_depth(node: GraphNode, values: Sequence[Value | None]) -> Value:
    """SpaceToDepth: pixels become channels (pixel unshuffle)."""
    n, channels, rows, columns = _image(node, values).shape
    side = node.integer("blocksize", 0)
    if not 0 < side <= LONGEST_STEP or rows % side or columns % side:
        raise node.wrong(f"{rows} x {columns} pixels are no blocks of {side} x {side}")
    return Value((n, channels * side**2, rows // side, columns // side), image=True)


def batch_norm(node: GraphNode, values: Sequence[Value | None]) -> Value:
    """BatchNormalization with the statistics of the training."""
    source = node.given(values, 0)
    if node.integer("training_mode", 0):
        raise node.wrong("it is in training mode; export it for inference")
    for place in range(_FIRST_PARAMETER, 5):
        if node.given(values, place, "a parameter").image:
            raise node.wrong("its parameters must be constants")
    return Value(source.shape, source.image)


def layer_norm(node: GraphNode, values: Sequence[Value | None]) -> Value:
    """LayerNormalization from an axis on."""
    source = node.given(values, 0)
    axis = node.axis(node.integer("axis", -1), len(source.shape))
    return Value(source.shape, pixels_in(values), mixed=math.prod(source.shape[axis:]))


RULES: Mapping[str, Rule] = {
    "AveragePool": pooled, "BatchNormalization": batch_norm, "Conv": convolution,
    "ConvTranspose": transposed, "DepthToSpace": to_space, "LayerNormalization": layer_norm,
    "LpNormalization": along_axis, "MaxPool": pooled, "Pad": padded, "Resize": resized,
    "SpaceToDepth": to_depth,
}  # fmt: skip

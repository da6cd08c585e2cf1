"""Quantise: explicit Q/DQ nodes around the convolutions of an ONNX graph.

Symmetric throughout: a value x becomes ``round(x / scale)`` in 8 bits and ``scale`` times that
after it. The input of a convolution has one scale, from calibration; int8 weights have one for each
output channel (Krishnamoorthi 2018, arXiv:1806.08342, section 3), fp8 weights one in all, which is
what TensorRT's fp8 convolutions take and as good, since a float's steps follow its size. Formats:
int8 from -127 to 127; fp8 is E4M3 (Micikevicius et al. 2022, arXiv:2209.05433, table 1).

Not quantised, and so in the precision of the rest: the first and the last convolution, those with
fewer than 16 channels, which have no 8-bit kernels worth the name, and transposed convolutions,
whose scales TensorRT has taken for the wrong axis before (its issue 1694).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from model_store.errors import EngineError
from model_store.ref import ModelRef

Kind = Literal["int8", "fp8"]
KINDS: Final[tuple[Kind, ...]] = ("int8", "fp8")

_OPSET: Final = 19
"""The first with E4M3, and with half scales."""
_IR_VERSION: Final = 9
_LARGEST: Final[dict[Kind, float]] = {"int8": 127.0, "fp8": 448.0}
_CHANNELS: Final = 16
_KERNEL: Final[dict[Kind, int]] = {"int8": 1 << 16, "fp8": 32}
"""Kernels of this many pixels or more have no fp8 convolution."""
_SIGN: Final = 0x80
_CODES: Final = 127
"""Magnitudes of E4M3: 0 to 448; the 128th code is not a number."""


def quantisable(graph: Any, kind: Kind) -> list[Any]:
    """The convolutions of a graph that get Q/DQ nodes, in the graph's order.

    Parameters
    ----------
    graph : onnx.GraphProto
    kind : {"int8", "fp8"}
    """
    shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    weighted = [node for node in graph.node if node.op_type in {"Conv", "ConvTranspose"}]
    chosen = []
    for node in weighted[1:-1]:
        shape = shapes.get(node.input[1], ())
        group = next((part.i for part in node.attribute if part.name == "group"), 1)
        fits = (
            node.op_type == "Conv"
            and bool(shape)
            and group == 1
            and min(shape[:2]) >= _CHANNELS
            and int(np.prod(shape[2:])) < _KERNEL[kind]
        )
        if fits:
            chosen.append(node)
    return chosen


def quantise(
    onnx: ModuleType, model: Any, kind: Kind, largest: Mapping[str, float], ref: ModelRef
) -> None:
    """Put Q/DQ nodes into a float32 model, in place; scales are exact in half precision.

    Parameters
    ----------
    onnx : module
    model : onnx.ModelProto
        Float32.
    kind : {"int8", "fp8"}
    largest : mapping of str to float
        Largest absolute value of the input of each convolution that `quantisable` names.
    ref : ModelRef
        Named in messages.

    Raises
    ------
    EngineError
        If a scale is beyond half's range.
    """
    graph = model.graph
    chosen = {node.output[0] for node in quantisable(graph, kind)}
    weights = {tensor.name: tensor for tensor in graph.initializer}
    pairs = _Pairs(onnx, graph, kind, ref)
    made: list[Any] = []
    for node in graph.node:
        if node.output[0] in chosen:
            source, weight = node.input[0], node.input[1]
            node.input[0] = pairs.image(source, largest[source], made)
            node.input[1] = pairs.weights(weight, weights[weight], made)
        made.append(node)
    kept = [type(node).FromString(node.SerializeToString()) for node in made]
    del graph.node[:]
    graph.node.extend(kept)
    used = {name for node in graph.node for name in node.input}
    for tensor in [tensor for tensor in graph.initializer if tensor.name not in used]:
        graph.initializer.remove(tensor)
    del graph.value_info[:]
    for entry in model.opset_import:
        if not entry.domain:
            entry.version = max(entry.version, _OPSET)
    model.ir_version = max(model.ir_version, _IR_VERSION)


class _Pairs:
    """Makes Q/DQ nodes and their constants, once for each tensor."""

    def __init__(self, onnx: ModuleType, graph: Any, kind: Kind, ref: ModelRef) -> None:
        self._onnx, self._graph, self._kind, self._ref = onnx, graph, kind, ref
        types = onnx.TensorProto
        self._type = {"int8": types.INT8, "fp8": types.FLOAT8E4M3FN}[kind]
        self._done: set[str] = set()

    def image(self, name: str, largest: float, made: list[Any]) -> str:
        """Q and DQ of an image; returns the name of what comes out."""
        if name not in self._done:
            scale = _scale(np.array(largest), self._kind, f"{self._ref}: {name}")
            constants = self._constants(name, scale)
            node = self._onnx.helper.make_node
            packed = f"{name}/{self._kind}"
            made.append(node("QuantizeLinear", [name, *constants], [packed]))
            made.append(node("DequantizeLinear", [packed, *constants], [f"{name}/back"]))
        self._done.add(name)
        return f"{name}/back"

    def weights(self, name: str, tensor: Any, made: list[Any]) -> str:
        """Weights in 8 bits and their DQ; returns the name of what comes out."""
        if name not in self._done:
            values = self._onnx.numpy_helper.to_array(tensor)
            sizes = np.abs(values).max(axis=(1, 2, 3) if self._kind == "int8" else None)
            scale = _scale(sizes, self._kind, f"{self._ref}: {name}")
            steps = values / (scale.reshape(-1, 1, 1, 1) if scale.ndim else scale)
            self._graph.initializer.append(
                self._tensor(f"{name}/{self._kind}", codes(steps, self._kind))
            )
            axis = {"axis": 0} if scale.ndim else {}
            made.append(
                self._onnx.helper.make_node(
                    "DequantizeLinear",
                    [f"{name}/{self._kind}", *self._constants(name, scale)],
                    [f"{name}/back"],
                    **axis,
                )
            )
        self._done.add(name)
        return f"{name}/back"

    def _constants(self, name: str, scale: NDArray[np.float32]) -> tuple[str, str]:
        """Scale, and a zero point of its shape, which is zero and names the type."""
        self._graph.initializer.append(self._onnx.numpy_helper.from_array(scale, f"{name}/scale"))
        self._graph.initializer.append(
            self._tensor(f"{name}/zero", np.zeros(scale.shape, np.uint8))
        )
        return f"{name}/scale", f"{name}/zero"

    def _tensor(self, name: str, values: NDArray[np.uint8]) -> Any:
        return self._onnx.helper.make_tensor(
            name, self._type, values.shape, values.tobytes(), raw=True
        )


def _scale(largest: NDArray[Any], kind: Kind, where: str) -> NDArray[np.float32]:
    """Scales for values of this size, rounded up to half precision so that nothing is clipped."""
    exact = np.asarray(largest, np.float64) / _LARGEST[kind]
    if not np.isfinite(exact).all() or exact.max(initial=0.0) > float(np.finfo(np.float16).max):
        raise EngineError(f"{where} is beyond what {kind} can scale; use f32")
    half = exact.astype(np.float16)
    half = np.where(half < exact, np.nextafter(half, np.float16(np.inf)), half)
    tiny = np.finfo(np.float16).smallest_subnormal
    scale: NDArray[np.float32] = np.maximum(half, tiny).astype(np.float32)
    return scale


def codes(steps: NDArray[Any], kind: Kind) -> NDArray[np.uint8]:
    """The 8 bits of values that are within the format's range, nearest, ties to even.

    Parameters
    ----------
    steps : ndarray
        Values divided by their scale; what is beyond the range is clipped to it.
    kind : {"int8", "fp8"}

    Returns
    -------
    ndarray of uint8
        Two's complement for ``int8``, E4M3 for ``fp8``.
    """
    limit = _LARGEST[kind]
    if kind == "int8":
        whole: NDArray[np.int8] = np.clip(np.rint(steps), -limit, limit).astype(np.int8)
        return whole.view(np.uint8)
    number = np.arange(_CODES)
    exponent, fraction = number >> 3, number & 7
    sizes = np.where(
        exponent == 0, fraction * 2.0**-9, (1 + fraction / 8) * 2.0 ** (exponent - 7.0)
    )
    wanted = np.minimum(np.abs(np.asarray(steps, np.float64)), limit)
    below = np.searchsorted(sizes, wanted, side="right") - 1
    above = np.minimum(below + 1, _CODES - 1)
    left, right = wanted - sizes[below], sizes[above] - wanted
    nearest = np.where((right < left) | ((right == left) & (below % 2 == 1)), above, below)
    packed: NDArray[np.uint8] = np.where(np.signbit(steps), nearest + _SIGN, nearest).astype(
        np.uint8
    )
    return packed

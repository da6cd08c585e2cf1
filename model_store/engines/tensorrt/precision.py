"""Precisions: how a released ONNX file becomes the network that TensorRT gets.

TensorRT's networks are strongly typed: precision is in the ONNX, not in a builder's flag.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any, Final, Literal

import numpy as np

from model_store.engines.base import Images
from model_store.engines.tensorrt.calibration import largest_values
from model_store.engines.tensorrt.library import INSTALL
from model_store.engines.tensorrt.quantise import KINDS, quantisable, quantise
from model_store.errors import EngineError, EngineUnavailableError
from model_store.ref import ModelRef

PlanPrecision = Literal["f32", "f16", "int8", "fp8"]
PLAN_PRECISIONS: Final[tuple[PlanPrecision, ...]] = ("f32", "f16", "int8", "fp8")
_LEAST_CAPABILITY: Final[dict[PlanPrecision, tuple[int, int]]] = {"fp8": (8, 9)}
"""Compute capability below which there is no arithmetic for a precision."""
_RESIZE_NUMBERS: Final = (1, 2)
"""Inputs of ONNX Resize that are float32 whatever the image is: region and scales."""


def require_arithmetic(precision: PlanPrecision, capability: tuple[int, int], device: str) -> None:
    """See that a GPU computes in a precision.

    Raises
    ------
    EngineUnavailableError
        If it does not.
    """
    least = _LEAST_CAPABILITY.get(precision, (0, 0))
    if capability < least:
        raise EngineUnavailableError(
            f"{precision} needs compute capability {least[0]}.{least[1]}, {device} has "
            f"{capability[0]}.{capability[1]}; use f16"
        )


def typed(
    data: bytes, precision: PlanPrecision, ref: ModelRef, images: Images | None = None
) -> bytes:
    """ONNX bytes in a precision, float32 at both ends.

    Parameters
    ----------
    data : bytes
        The released ONNX file, float32.
    precision : {"f32", "f16", "int8", "fp8"}
        ``f32`` is the file as it is (TF32 is cleared when it is built); ``f16`` holds weights and
        computes in half, with a cast after the input and one before the output. ``int8`` and
        ``fp8`` are ``f16`` with most convolutions between Q/DQ nodes; see `quantise`.
    ref : ModelRef
        Named in messages.
    images : ndarray of float32, shape (N, 1, H, W), optional
        What ``int8`` and ``fp8`` are calibrated on, normalised.

    Raises
    ------
    EngineUnavailableError
        If `onnx`, which all but ``f32`` need, is not installed.
    EngineError
        If the network cannot be converted, a weight is beyond half's range, or there are no images
        to calibrate on.
    """
    if precision == "f32":
        return data
    try:
        onnx = importlib.import_module("onnx")
        errors = importlib.import_module("google.protobuf.message").DecodeError
    except ImportError as error:
        raise EngineUnavailableError(
            f"{precision} needs onnx, which is not installed: {INSTALL}"
        ) from error
    try:
        model = onnx.load_from_string(data)
    except (errors, ValueError) as error:
        raise EngineError(f"{ref}: the ONNX file cannot be read: {error}") from error
    if precision in KINDS:
        chosen = quantisable(model.graph, precision)
        if not chosen:
            raise EngineError(f"{ref}: no layer is wide enough for {precision}; use f16")
        if images is None or not len(images):
            raise EngineError(f"{ref}: {precision} needs images to be calibrated on")
        names = list(dict.fromkeys(node.input[0] for node in chosen))
        quantise(onnx, model, precision, largest_values(data, names, images, ref), ref)
    _halve(onnx, model.graph, ref)
    try:
        onnx.checker.check_model(model)
        onnx.shape_inference.infer_shapes(model, strict_mode=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise EngineError(f"{ref}: the network is not sound in {precision}: {error}") from error
    return bytes(model.SerializeToString(deterministic=True))


def _halve(onnx: ModuleType, graph: Any, ref: ModelRef) -> None:
    if len(graph.input) != 1 or len(graph.output) != 1:
        raise EngineError(f"{ref}: the ONNX file must have one input and one output")
    exact = {
        name
        for node in graph.node
        if node.op_type == "Resize"
        for name in (node.input[place] for place in _RESIZE_NUMBERS if place < len(node.input))
        if name
    }
    for tensor in graph.initializer:
        if tensor.name not in exact:
            _halve_tensor(onnx, tensor, ref)
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.g.node or attribute.graphs:
                raise EngineError(f"{ref}: {node.op_type} has a graph inside; use f32")
            if attribute.HasField("t") and node.output[0] not in exact:
                _halve_tensor(onnx, attribute.t, ref)
            if node.op_type == "Cast" and attribute.name == "to":
                attribute.i = _half_of(onnx, attribute.i)
    del graph.value_info[:]
    _cast_ends(onnx, graph)


def _half_of(onnx: ModuleType, kind: int) -> int:
    return int(onnx.TensorProto.FLOAT16) if kind == onnx.TensorProto.FLOAT else kind


def _halve_tensor(onnx: ModuleType, tensor: Any, ref: ModelRef) -> None:
    if tensor.data_type != onnx.TensorProto.FLOAT:
        return
    values = onnx.numpy_helper.to_array(tensor)
    if values.size and not float(np.abs(values).max()) <= float(np.finfo(np.float16).max):
        raise EngineError(f"{ref}: {tensor.name} has weights beyond f16's range; use f32")
    tensor.CopyFrom(onnx.numpy_helper.from_array(values.astype(np.float16), tensor.name))


def _cast_ends(onnx: ModuleType, graph: Any) -> None:
    source, target = graph.input[0].name, graph.output[0].name
    inner, outer = f"{source}/half", f"{target}/half"
    for node in graph.node:
        node.input[:] = [{source: inner, target: outer}.get(name, name) for name in node.input]
        node.output[:] = [outer if name == target else name for name in node.output]
    made = onnx.helper.make_node
    first = made("Cast", [source], [inner], to=onnx.TensorProto.FLOAT16)
    last = made("Cast", [outer], [target], to=onnx.TensorProto.FLOAT)
    nodes = [first, *graph.node, last]
    kept = [type(node).FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(kept)

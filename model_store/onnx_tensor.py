"""Tensors of an ONNX file: weights and constants, inside the file and finite."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from model_store import onnx_schema as schema
from model_store.errors import GraphError
from model_store.protobuf import Message, ProtobufError, read_message

MOST_DIMENSIONS: Final = 8
FLOAT: Final = 1
"""Number of float32 among the data types of ONNX."""

_INT32, _INT64, _BOOL = 6, 7, 9
_TYPES: dict[int, np.dtype[Any]] = {
    FLOAT: np.dtype("<f4"),
    _INT32: np.dtype("<i4"),
    _INT64: np.dtype("<i8"),
    _BOOL: np.dtype("?"),
}
_OTHERS: Final = {10: "float16", 11: "float64", 16: "bfloat16"}


def initialisers(data: bytes) -> dict[str, NDArray[Any]]:
    """Weights and constants of an ONNX file by their names; no more of it is looked at.

    Returns
    -------
    dict of str to ndarray
        Float32, int32, int64 or bool, finite, read-only, of at most eight dimensions.

    Raises
    ------
    GraphError
        If it is no ONNX file with a graph, or one of them is something else.
    """
    try:
        model = read_message("the ONNX file", data, schema.MODEL)
        graph = read_message("the graph", only(model, "graph", "ONNX file"), schema.GRAPH)
        return dict(read_tensor(part) for part in graph.parts("initializer"))
    except ProtobufError as error:
        raise GraphError(f"not an ONNX file that can be used: {error}") from error


def only(message: Message, name: str, kind: str) -> memoryview:
    """The first part of a field that must be there."""
    parts = message.parts(name)
    if not parts:
        raise GraphError(f"the {kind} states no {name.replace('_', ' ')}")
    return parts[0]


def read_tensor(part: memoryview) -> tuple[str, NDArray[Any]]:
    """Name and values of a tensor; read-only."""
    tensor = read_message("a tensor", part, schema.TENSOR)
    name = tensor.text("name")
    where = f"tensor {name or 'without a name'}"
    if tensor.has("external_data") or tensor.integer("data_location"):
        raise GraphError(f"{where} is in another file; export with all weights inside")
    kind = _TYPES.get(tensor.integer("data_type"))
    if kind is None:
        other = _OTHERS.get(tensor.integer("data_type"))
        found = f", but {other}; convert the model to float32" if other else ""
        raise GraphError(f"{where} is neither float32 nor int32, int64 or bool{found}")
    dims = tensor.integers("dims")
    if len(dims) > MOST_DIMENSIONS or any(side < 0 for side in dims):
        raise GraphError(f"{where} has the shape {dims}")
    field = {
        FLOAT: "float_data", _INT32: "int32_data", _INT64: "int64_data", _BOOL: "int32_data"
    }[tensor.integer("data_type")]  # fmt: skip
    stores = [
        key for key in ("raw_data", "float_data", "int32_data", "int64_data") if tensor.has(key)
    ]
    size = math.prod(dims)
    if not size and len(stores) <= 1:
        return name, np.zeros(dims, kind)
    if len(stores) != 1 or stores[0] not in {"raw_data", field}:
        raise GraphError(f"{where} does not have its values in one place")
    if tensor.has("raw_data"):
        raw = tensor.parts("raw_data")[0]
        if len(raw) != size * kind.itemsize:
            raise GraphError(f"{where} has {len(raw)} bytes, not {size * kind.itemsize}")
        array = np.frombuffer(raw, kind)
    else:
        listed = tensor.floats(field) if kind.kind == "f" else tensor.integers(field)
        if len(listed) != size:
            raise GraphError(f"{where} has {len(listed)} values, not {size}")
        try:
            array = np.array(listed, kind)
        except OverflowError as error:
            raise GraphError(f"{where} has values out of range") from error
    if kind.kind == "f" and not np.isfinite(array).all():
        raise GraphError(f"{where} holds values that are not finite")
    return name, array.reshape(dims)

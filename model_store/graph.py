"""What an ONNX file must be before an engine sees it.

An engine's own reader is a large piece of native code, so a small one (`model_store.protobuf`)
looks first. It knows only the few things that a denoising generator is made of, and no others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_store import onnx_schema as schema
from model_store.errors import GraphError
from model_store.onnx_tensor import FLOAT, MOST_DIMENSIONS, only, read_tensor
from model_store.protobuf import Message, ProtobufError, read_message

OPERATORS = frozenset(
    {
        "Add", "AveragePool", "Concat", "Constant", "Conv", "ConvTranspose", "Identity",
        "LeakyRelu", "MaxPool", "Mul", "Relu", "Resize", "Slice", "Softmax", "Sub",
    }
)  # fmt: skip
"""What the exported generators consist of: a test exports them all and holds this list to it."""

OPSETS = range(17, 21)
LARGEST_FILE = 256 << 20
"""Bytes; the largest generator at its published width has 130 MB."""
MOST_NODES = 2000
MOST_INITIALISERS = 4000
MOST_CHANNELS = 4096
LARGEST_SCALE = 2.0
"""Of an inner image's side, beside the input's."""
LONGEST_STEP = 64
"""Pixels; of a kernel, stride, dilation or padding."""

_IR_VERSIONS = range(4, 14)
_STEPS = {"kernel_shape", "strides", "dilations", "pads", "output_padding"}
_ATTRIBUTE_TYPES = {1, 2, 3, 4, 6, 7}  # float, int, string, tensor, floats, ints

_Array = NDArray[Any]
_Attributes = Mapping[str, list[int] | _Array | str]


@dataclass(frozen=True, slots=True)
class Graph:
    """What `check_graph` saw in an ONNX file.

    Parameters
    ----------
    opset : int
        Version of the operators.
    operators : mapping of str to int
        How often each operator occurs.
    numbers : int
        Float32 numbers in weights and constants.
    """

    opset: int
    operators: Mapping[str, int]
    numbers: int


@dataclass(frozen=True, slots=True)
class _Value:
    """A tensor on its way: channels, side beside the input's, and whether the image is in it."""

    channels: int
    scale: float
    image: bool
    constant: _Array | None = None


def check_graph(data: bytes) -> Graph:
    """Look through an ONNX file and refuse all that a denoising generator is not made of.

    It must be one graph of at least one convolution with the operators of `OPERATORS` in a version
    of `OPSETS`, all weights inside and finite, from one float32 input ``[N, 1, H, W]`` to one
    float32 output of the same form, N, H and W free, the output made from the input. Sizes are
    limited, those of inner images too. Custom domains, functions, subgraphs (If, Loop, Scan), data
    in other files, and fields that are not known are refused.

    Parameters
    ----------
    data : bytes
        The whole file.

    Raises
    ------
    GraphError
        If the file is something else; the message says what, and in which node.
    """
    if len(data) > LARGEST_FILE:
        raise GraphError(f"the ONNX file has {len(data) >> 20} MiB, {LARGEST_FILE >> 20} at most")
    try:
        return _check_model(read_message("the ONNX file", data, schema.MODEL))
    except ProtobufError as error:
        raise GraphError(f"not an ONNX file that can be used: {error}") from error


def _check_model(model: Message) -> Graph:
    if model.integer("ir_version") not in _IR_VERSIONS:
        raise GraphError(f"ONNX IR version {model.integer('ir_version')} is not one that is read")
    if model.has("functions"):
        raise GraphError("the model defines functions of its own; export it without")
    if model.has("training_info"):
        raise GraphError("the model carries training information; export it for inference")
    opset = _opset(model.parts("opset_import"))
    if not model.has("graph"):
        raise GraphError("the ONNX file holds no graph")
    graph = read_message("the graph", model.parts("graph")[0], schema.GRAPH)
    nodes, initialisers = graph.parts("node"), graph.parts("initializer")
    if len(nodes) > MOST_NODES or len(initialisers) > MOST_INITIALISERS:
        raise GraphError(
            f"{len(nodes)} nodes and {len(initialisers)} initialisers; "
            f"{MOST_NODES} and {MOST_INITIALISERS} at most"
        )
    if not nodes:
        raise GraphError("the graph has no layers")
    values: dict[str, _Value] = {}
    for part in initialisers:
        name, array = read_tensor(part)
        _define(values, name, _constant(array))
    source, target = _port("input", graph), _port("output", graph)
    _define(values, source, _Value(1, 1.0, image=True))
    operators = Counter(_node(part, values) for part in nodes)
    if not operators["Conv"] + operators["ConvTranspose"]:
        raise GraphError("the graph has no layer with weights")
    made = values.get(target)
    if made is None or target == source:
        raise GraphError(f"the graph never makes its output {target!r}")
    if not made.image:
        raise GraphError("the output does not depend on the input")
    if made.channels != 1 or made.scale != 1:
        raise GraphError(
            f"the output has {made.channels} channels and {made.scale:g} times the input's sides"
        )
    constants = (value.constant for value in values.values() if value.constant is not None)
    numbers = sum(array.size for array in constants if array.dtype == np.float32)
    return Graph(opset, dict(sorted(operators.items())), numbers)


def _opset(parts: Iterable[memoryview]) -> int:
    found: dict[str, int] = {}
    for part in parts:
        entry = read_message("an operator set", part, schema.ENTRY)
        domain = entry.text("domain")
        if domain not in {"", "ai.onnx"}:
            raise GraphError(f"operators of the domain {domain!r}; only ONNX's own are allowed")
        found[""] = entry.integer("version") if not found else -1
    version = found.get("", -1)
    if version not in OPSETS:
        raise GraphError(f"the operator set must be one of {OPSETS[0]} to {OPSETS[-1]}, named once")
    return version


def _port(kind: str, graph: Message) -> str:
    ports = graph.parts(kind)
    if len(ports) != 1:
        raise GraphError(f"the graph has {len(ports)} {kind}s, not one")
    port = read_message(f"the {kind}", ports[0], schema.PORT)
    whole = read_message(f"the {kind}'s type", only(port, "type", kind), schema.TYPE)
    tensor = read_message(
        f"the {kind}'s type", only(whole, "tensor_type", kind), schema.TENSOR_TYPE
    )
    if tensor.integer("elem_type") != FLOAT:
        raise GraphError(f"the {kind} is not float32")
    shape = read_message(f"the {kind}'s shape", only(tensor, "shape", kind), schema.SHAPE)
    sides = [read_message("a dimension", part, schema.DIMENSION) for part in shape.parts("dim")]
    fixed = [side.integer("value") if side.has("value") else None for side in sides]
    if len(sides) != MOST_DIMENSIONS or fixed != [None, 1, None, None]:
        shown = [side or "free" for side in fixed]
        raise GraphError(f"the {kind} must be [N, 1, H, W] with free N, H and W, not {shown}")
    return port.text("name")


def _node(part: memoryview, values: dict[str, _Value]) -> str:
    node = read_message("a node", part, schema.NODE)
    operator, name = node.text("op_type"), node.text("name") or "without a name"
    where = f"node {name} ({operator})"
    if node.text("domain") not in {"", "ai.onnx"}:
        raise GraphError(f"{where} is of the domain {node.text('domain')!r}")
    if operator not in OPERATORS:
        raise GraphError(f"{where}: the operator is not one of {', '.join(sorted(OPERATORS))}")
    attributes = dict(_attribute(where, found) for found in node.parts("attribute"))
    if len(attributes) != len(node.parts("attribute")):
        raise GraphError(f"{where} has an attribute twice")
    inputs = []
    for source in node.texts("input"):
        if source and source not in values:
            raise GraphError(f"{where} takes {source!r}, which nothing before it makes")
        inputs.append(values[source] if source else _Value(0, 0.0, image=False))
    outputs = node.texts("output")
    if len(outputs) != 1:
        raise GraphError(f"{where} has {len(outputs)} outputs, not one")
    made = _made(where, operator, inputs, attributes)
    if made.channels > MOST_CHANNELS or made.scale > LARGEST_SCALE:
        raise GraphError(
            f"{where} makes {made.channels} channels of {made.scale:g} times the input's sides; "
            f"{MOST_CHANNELS} and {LARGEST_SCALE:g} at most"
        )
    _define(values, outputs[0], made)
    return operator


def _attribute(where: str, part: memoryview) -> tuple[str, list[int] | _Array | str]:
    attribute = read_message(f"an attribute of {where}", part, schema.ATTRIBUTE)
    name = attribute.text("name")
    if attribute.has("g") or attribute.has("graphs"):
        raise GraphError(f"{where}: {name} is a graph inside the graph")
    if attribute.integer("type") not in _ATTRIBUTE_TYPES:
        raise GraphError(f"{where}: {name} has a type that is not allowed")
    if attribute.has("t"):
        return name, read_tensor(attribute.parts("t")[0])[1]
    if attribute.has("s"):
        return name, attribute.text("s")
    integers = attribute.integers("i") + attribute.integers("ints")
    if name in _STEPS and any(not 0 <= value <= LONGEST_STEP for value in integers):
        raise GraphError(f"{where}: {name} is {integers}; 0 to {LONGEST_STEP} are allowed")
    floats = np.array(attribute.floats("f") + attribute.floats("floats"))
    return name, integers if integers else floats


def _made(where: str, operator: str, inputs: list[_Value], attributes: _Attributes) -> _Value:
    """What a node makes of its inputs, as far as sizes go."""
    special = _MAKERS.get(operator)
    if operator != "Constant" and not inputs:
        raise GraphError(f"{where} has no input")
    if special is not None:
        return special(where, inputs, attributes)
    return _joint(inputs, max(value.channels for value in inputs))


def _joint(inputs: list[_Value], channels: int) -> _Value:
    image = any(value.image for value in inputs)
    return _Value(channels, max(value.scale for value in inputs), image)


def _literal(where: str, inputs: list[_Value], attributes: _Attributes) -> _Value:
    value = attributes.get("value")
    if inputs or len(attributes) != 1 or not isinstance(value, np.ndarray):
        raise GraphError(f"{where}: only a constant that is one tensor is allowed")
    return _constant(value)


def _convolved(where: str, inputs: list[_Value], attributes: _Attributes) -> _Value:
    return _Value(_weights(where, inputs).shape[0], _shrunk(inputs[0], attributes), image=True)


def _unconvolved(where: str, inputs: list[_Value], attributes: _Attributes) -> _Value:
    channels = _weights(where, inputs).shape[1] * _numbers(attributes, "group", [1])[0]
    return _Value(channels, inputs[0].scale * max(_numbers(attributes, "strides", [1])), image=True)


def _weights(where: str, inputs: list[_Value]) -> _Array:
    weights = inputs[1].constant if len(inputs) > 1 else None
    if weights is None or weights.ndim != MOST_DIMENSIONS or not inputs[0].image:
        raise GraphError(f"{where} must take an image and constant weights of four dimensions")
    return weights


def _pooled(where: str, inputs: list[_Value], attributes: _Attributes) -> _Value:
    if not inputs[0].image:
        raise GraphError(f"{where} must take an image")
    return _Value(inputs[0].channels, _shrunk(inputs[0], attributes), image=True)


def _shrunk(value: _Value, attributes: _Attributes) -> float:
    return value.scale / max(min(_numbers(attributes, "strides", [1])), 1)


def _joined(where: str, inputs: list[_Value], attributes: _Attributes) -> _Value:
    if attributes.get("axis") not in ([1], [-3]):
        raise GraphError(f"{where} must join channels (axis 1)")
    return _joint(inputs, sum(value.channels for value in inputs))


def _resized(where: str, inputs: list[_Value], attributes: _Attributes) -> _Value:
    factors = inputs[_SCALES].constant if len(inputs) == _SCALES + 1 else None
    usable = (
        "axes" not in attributes
        and factors is not None
        and factors.shape == (MOST_DIMENSIONS,)
        and factors.dtype == np.float32
        and bool((factors[:2] == 1).all() and (factors > 0).all())
    )
    if factors is None or not usable:
        raise GraphError(f"{where} must have constant scales of height and width")
    return _Value(inputs[0].channels, inputs[0].scale * float(factors.max()), inputs[0].image)


def _same(where: str, inputs: list[_Value], attributes: _Attributes) -> _Value:
    if len(inputs) != 1 or attributes:
        raise GraphError(f"{where} must take one value and nothing else")
    return inputs[0]


def _sliced(where: str, inputs: list[_Value], attributes: _Attributes) -> _Value:
    bounds = [value.constant for value in inputs[1:]]
    if not _SLICE_START_END_AXIS <= len(bounds) <= _SLICE_START_END_AXIS + 1 or attributes:
        raise GraphError(f"{where} must have one constant start, end and axis")
    numbers = []
    for bound in bounds:
        if bound is None or bound.shape != (1,) or bound.dtype.kind != "i":
            raise GraphError(f"{where} must have one constant start, end and axis")
        numbers.append(int(bound[0]))
    start, end, axis, *step = numbers
    if axis not in {1, -3} or step not in ([], [1]):
        raise GraphError(f"{where} must take channels (axis 1) one by one")
    return _joint(inputs, len(range(inputs[0].channels)[start:end]))


_SCALES = 2  # place among the inputs of Resize
_SLICE_START_END_AXIS = 3
_MAKERS: Mapping[str, Callable[[str, list[_Value], _Attributes], _Value]] = {
    "Concat": _joined,
    "Constant": _literal,
    "Conv": _convolved,
    "ConvTranspose": _unconvolved,
    "AveragePool": _pooled,
    "Identity": _same,
    "MaxPool": _pooled,
    "Resize": _resized,
    "Slice": _sliced,
}


def _numbers(attributes: _Attributes, name: str, default: list[int]) -> list[int]:
    found = attributes.get(name, default)
    return found if isinstance(found, list) and found else default


def _define(values: dict[str, _Value], name: str, value: _Value) -> None:
    if not name or name in values:
        raise GraphError(f"the name {name!r} is empty or stands for two values")
    values[name] = value


def _constant(array: _Array) -> _Value:
    channels = array.shape[1] if array.ndim == MOST_DIMENSIONS else 1
    return _Value(channels, 0.0, image=False, constant=array)

"""What an ONNX file must be before an engine sees it.

An engine's own reader is a large piece of native code, so a small one (`model_store.protobuf`)
looks first. It knows the operators that denoising networks are made of (`model_store.operators`),
and no others, and works out what size everything has that they make.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from model_store import onnx_schema as schema
from model_store.errors import GraphError
from model_store.onnx_tensor import FLOAT, only, read_tensor
from model_store.operators.layers import LONGEST_STEP
from model_store.operators.table import OPERATORS, RULES, WHY_NOT
from model_store.operators.value import IMAGE_RANK, Attribute, GraphNode, Value
from model_store.protobuf import Message, ProtobufError, read_message

OPSETS = range(13, 22)
LARGEST_FILE = 256 << 20
"""Bytes; the largest generator at its published width has 130 MB."""
MOST_NODES = 4000
MOST_INITIALISERS = 4000
MOST_NUMBERS = 1 << 14
"""Of an inner tensor, for each pixel of the image: 4096 channels of twice its sides, for example.
"""

_ROUND = 13440
"""A side that most strides and windows divide: 2^7 * 3 * 5 * 7. No pixel of it is ever made."""
_SIZES: Final = ((1, 1, _ROUND, _ROUND), (2, 1, _ROUND, 2 * _ROUND))
_GROWTH: Final = 4
_ODD_SIZES: Final = ((1, 1, 512, 512), (1, 1, 64, 96), (3, 1, 509, 333))

IR_VERSIONS = range(4, 15)
_STEPS = {"kernel_shape", "strides", "dilations", "pads", "output_padding"}
_ATTRIBUTE_TYPES = {1, 2, 3, 4, 6, 7}  # float, int, string, tensor, floats, ints
_WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")


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
    macs_per_pixel : int
        Multiply-adds of convolutions and products of matrices for each pixel of the image.
    source, target : str
        Names of the input and of the output.
    """

    opset: int
    operators: Mapping[str, int]
    numbers: int
    macs_per_pixel: int
    source: str
    target: str


class _TooLargeError(GraphError):
    """A tensor inside has more numbers than an image of that size may cost."""


def check_graph(data: bytes) -> Graph:
    """Look through an ONNX file and refuse all that a denoising generator is not made of.

    It must be one graph with weights and with the operators of `model_store.operators.table` in a
    version of `OPSETS`, all weights inside and finite, from one float32 input ``[N, 1, H, W]`` to
    one float32 output of the same shape, N, H and W free, the output made from the input. Sizes are
    limited, those of inner tensors too; they grow with the image, and no further, and nothing is
    summed over the whole of it. Custom domains, functions, subgraphs (If, Loop, Scan), data in
    other files, and fields that are not known are refused.

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
    if model.integer("ir_version") not in IR_VERSIONS:
        raise GraphError(f"ONNX IR version {model.integer('ir_version')} is not one that is read")
    if model.has("functions"):
        raise GraphError("the model defines functions of its own; export it without")
    if model.has("training_info"):
        raise GraphError("the model carries training information; export it for inference")
    opset = _opset(model.parts("opset_import"))
    if not model.has("graph"):
        raise GraphError("the ONNX file holds no graph")
    graph = read_message("the graph", model.parts("graph")[0], schema.GRAPH)
    parts, initialisers = graph.parts("node"), graph.parts("initializer")
    if len(parts) > MOST_NODES or len(initialisers) > MOST_INITIALISERS:
        raise GraphError(
            f"{len(parts)} nodes and {len(initialisers)} initialisers; "
            f"{MOST_NODES} and {MOST_INITIALISERS} at most"
        )
    if not parts:
        raise GraphError("the graph has no layers")
    constants: dict[str, Value] = {}
    for part in initialisers:
        name, array = read_tensor(part)
        _define(constants, name, Value.constant(array))
    source = _port("input", graph, constants)
    target = _port("output", graph, {})
    nodes = [_node(part) for part in parts]
    operators = Counter(node.operator for node in nodes)
    if not any(operators[name] for name in _WEIGHTED):
        raise GraphError("the graph has no layer with weights")
    made, macs = _sized(nodes, constants, source, target)
    arrays = [value.known for value in {**constants, **made}.values() if value.known is not None]
    numbers = sum(array.size for array in arrays if array.dtype == np.float32)
    return Graph(opset, dict(sorted(operators.items())), numbers, macs, source, target)


def _sized(
    nodes: Sequence[GraphNode], constants: Mapping[str, Value], source: str, target: str
) -> tuple[dict[str, Value], int]:
    """Follow images of several sizes; gives the literals in the graph, and the multiply-adds."""
    small, large = (_followed(nodes, constants, source, size) for size in _SIZES)
    for size, values in zip(_SIZES, (small, large), strict=True):
        _check_output(values, source, target, size)
    for node in nodes:
        for name in filter(None, node.outputs):
            _check_growth(node, small[name], large[name])
    for size in _ODD_SIZES:
        try:
            _followed(nodes, constants, source, size)
        except _TooLargeError:
            raise
        except GraphError:  # a stride or a window that does not divide it
            continue
    literals = {
        name: small[name] for node in nodes if node.operator == "Constant" for name in node.outputs
    }
    macs = sum(value.macs for name, value in small.items() if name not in constants)
    return literals, round(macs / _pixels(_SIZES[0]))


def _followed(
    nodes: Sequence[GraphNode], constants: Mapping[str, Value], source: str, size: Sequence[int]
) -> dict[str, Value]:
    """Every tensor that an image of `size` becomes."""
    values = dict(constants)
    _define(values, source, Value(tuple(size), image=True))
    pixels = _pixels(size)
    for node in nodes:
        made = RULES[node.operator](node, _inputs(node, values))
        several = made if isinstance(made, list) else [made]
        if len(several) != len(node.outputs):
            raise node.wrong(f"it has {len(node.outputs)} outputs, not {len(several)}")
        for name, value in zip(node.outputs, several, strict=True):
            if min(value.shape, default=0) < 0:
                raise node.wrong(f"an image of {size[2]} x {size[3]} becomes {list(value.shape)}")
            if value.size > MOST_NUMBERS * pixels:
                raise _TooLargeError(
                    f"{node.where} makes {value.size / pixels:.3g} numbers for each pixel of the "
                    f"image, {MOST_NUMBERS} at most; attention of every pixel to every other does"
                )
            _define(values, name, value)
    return values


def _inputs(node: GraphNode, values: Mapping[str, Value]) -> list[Value | None]:
    for name in node.inputs:
        if name and name not in values:
            raise node.wrong(f"it takes {name!r}, which nothing before it makes")
    return [values[name] if name else None for name in node.inputs]


def _check_output(
    values: Mapping[str, Value], source: str, target: str, size: Sequence[int]
) -> None:
    made = values.get(target)
    if made is None or target == source:
        raise GraphError(f"the graph never makes its output {target!r}")
    if not made.image:
        raise GraphError("the output does not depend on the input")
    if made.shape == tuple(size):
        return
    shape = made.shape
    if len(shape) == IMAGE_RANK and shape[:2] == tuple(size[:2]):
        less = [before - after for before, after in zip(size[2:], shape[2:], strict=True)]
        if max(map(abs, less)) < _ROUND // 2:
            raise GraphError(
                f"the output has {less[0]} rows and {less[1]} columns less than the input: "
                "convolutions without padding crop it; export it with padding"
            )
    raise GraphError(f"images [N, 1, H, W] = {list(size)} become {list(shape)}")


def _check_growth(node: GraphNode, small: Value, large: Value) -> None:
    """Refuse what depends on the whole image: no tile could give what the image gives."""
    if small.image and small.mixed != large.mixed:
        raise node.wrong(
            f"it goes over {small.mixed} numbers of an image of {_ROUND} x {_ROUND} pixels, and "
            f"over {large.mixed} where there are more: its result depends on the whole image, so "
            "that tiles would not fit together"
        )
    if large.size > _GROWTH * small.size:
        raise node.wrong("what it makes grows faster than the image")


def _pixels(size: Sequence[int]) -> int:
    return size[0] * size[2] * size[3]


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


def _port(kind: str, graph: Message, constants: Mapping[str, Value]) -> str:
    ports = [read_message(f"the {kind}", part, schema.PORT) for part in graph.parts(kind)]
    ports = [port for port in ports if port.text("name") not in constants]
    if len(ports) != 1:
        names = ", ".join(port.text("name") for port in ports[:6])
        raise GraphError(f"the graph has {len(ports)} {kind}s ({names}), not one")
    port = ports[0]
    whole = read_message(f"the {kind}'s type", only(port, "type", kind), schema.TYPE)
    tensor = read_message(
        f"the {kind}'s type", only(whole, "tensor_type", kind), schema.TENSOR_TYPE
    )
    if tensor.integer("elem_type") != FLOAT:
        raise GraphError(f"the {kind} is not float32")
    shape = read_message(f"the {kind}'s shape", only(tensor, "shape", kind), schema.SHAPE)
    sides = [read_message("a dimension", part, schema.DIMENSION) for part in shape.parts("dim")]
    fixed = [side.integer("value") if side.has("value") else None for side in sides]
    wanted = ([None, 1, None, None], *([[None] * IMAGE_RANK] if kind == "output" else []))
    if fixed not in wanted:
        shown = [side or "free" for side in fixed]
        raise GraphError(
            f"the {kind} must be [N, 1, H, W] with free N, H and W, not {shown}; with torch: "
            "dynamic_axes={name: {0: 'n', 2: 'h', 3: 'w'}} for input and output"
        )
    return port.text("name")


def _node(part: memoryview) -> GraphNode:
    node = read_message("a node", part, schema.NODE)
    operator, name = node.text("op_type"), node.text("name") or "without a name"
    where = f"node {name} ({operator})"
    if node.text("domain") not in {"", "ai.onnx"}:
        raise GraphError(f"{where} is of the domain {node.text('domain')!r}")
    if operator not in OPERATORS:
        why = WHY_NOT.get(operator)
        raise GraphError(
            f"{where}: {operator} {why}"
            if why
            else f"{where}: the operator is not one of those that the engines are given "
            "(docs/reference/operators.md)"
        )
    attributes = dict(_attribute(where, found) for found in node.parts("attribute"))
    if len(attributes) != len(node.parts("attribute")):
        raise GraphError(f"{where} has an attribute twice")
    outputs = node.texts("output")
    while len(outputs) > 1 and not outputs[-1]:
        outputs.pop()
    return GraphNode(operator, where, node.texts("input"), outputs, attributes)


def _attribute(where: str, part: memoryview) -> tuple[str, Attribute]:
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


def _define(values: dict[str, Value], name: str, value: Value) -> None:
    if not name or name in values:
        raise GraphError(f"the name {name!r} is empty or stands for two values")
    values[name] = value

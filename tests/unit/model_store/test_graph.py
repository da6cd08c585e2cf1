from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from model_store import graph
from model_store.errors import EngineError, GraphError
from model_store.graph import check_graph
from model_store.operators.table import OPERATORS
from tests.support.factories.models import convolutions, small_unet

Change = Callable[[onnx.ModelProto], object]


def _changed(change: Change) -> bytes:
    model = small_unet()
    change(model)
    return bytes(model.SerializeToString())


def _node(model: onnx.ModelProto, operator: str, *inputs: str, **attributes: Any) -> None:
    model.graph.node.append(helper.make_node(operator, inputs or ["y"], ["extra"], **attributes))


def _of_weights(model: onnx.ModelProto) -> None:
    _node(model, "Identity", "w0")
    model.graph.output[0].name = "extra"


def _shape(model: onnx.ModelProto, side: str, shape: list[str | int], kind: int = 1) -> None:
    port = getattr(model.graph, side)[0]
    port.CopyFrom(helper.make_tensor_value_info(port.name, kind, shape))


def _external(model: onnx.ModelProto) -> None:
    weights = model.graph.initializer[0]
    weights.data_location = TensorProto.EXTERNAL
    weights.external_data.add(key="location", value="../../etc/passwd")


def _not_finite(model: onnx.ModelProto) -> None:
    weights = np.full((4, 1, 3, 3), np.nan, np.float32)
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(weights, "w0"))


def _no_layers(model: onnx.ModelProto) -> None:
    del model.graph.node[:]


def _no_weights(model: onnx.ModelProto) -> None:
    del model.graph.node[:]
    model.graph.node.append(helper.make_node("Relu", ["x"], ["y"]))


def _doubled(model: onnx.ModelProto) -> None:
    name = "f"
    for step in range(12):
        model.graph.node.append(helper.make_node("Concat", [name, name], [f"z{step}"], axis=1))
        name = f"z{step}"


def _huge(model: onnx.ModelProto) -> None:
    model.graph.initializer[3].CopyFrom(
        numpy_helper.from_array(np.array([1, 1, 1e6, 1e6], np.float32), "scales")
    )


def _pads(model: onnx.ModelProto) -> None:
    model.graph.node[0].attribute[0].ints[:] = [1, 1, 1 << 40, 1]


REFUSED: dict[str, tuple[Change, str]] = {
    "an unknown operator": (lambda m: _node(m, "Loop"), "Loop is control flow"),
    "a condition": (lambda m: _node(m, "If"), "If is control flow"),
    "a read of a file": (lambda m: _node(m, "StringNormalizer"), "not one of"),
    "a graph in an attribute": (
        lambda m: _node(m, "Relu", body=helper.make_graph([], "inner", [], [])),
        "graph inside the graph",
    ),
    "a custom domain": (
        lambda m: m.opset_import.append(helper.make_opsetid("com.microsoft", 1)), "com.microsoft"
    ),
    "a node of a custom domain": (lambda m: _node(m, "Relu", domain="evil"), "evil"),
    "a function": (
        lambda m: m.functions.append(
            helper.make_function("f", "F", ["a"], ["b"], [], [helper.make_opsetid("", 20)])
        ),
        "functions",
    ),
    "an old operator set": (lambda m: setattr(m.opset_import[0], "version", 9), "13 to 21"),
    "a new operator set": (lambda m: setattr(m.opset_import[0], "version", 99), "13 to 21"),
    "data elsewhere": (_external, "another file"),
    "weights that are no numbers": (_not_finite, "not finite"),
    "no layers": (_no_layers, "no layers"),
    "no weights": (_no_weights, "no layer with weights"),
    "two inputs": (lambda m: m.graph.input.append(m.graph.output[0]), "2 inputs"),
    "two outputs": (lambda m: m.graph.output.append(m.graph.input[0]), "2 outputs"),
    "fixed sides": (lambda m: _shape(m, "input", ["n", 1, 64, 64]), "free N, H and W"),
    "three dimensions": (lambda m: _shape(m, "output", ["n", 1, "h"]), "free N, H and W"),
    "three channels": (lambda m: _shape(m, "input", ["n", 3, "h", "w"]), "free N, H and W"),
    "another type": (lambda m: _shape(m, "input", ["n", 1, "h", "w"], 10), "float32"),
    "an output that nobody makes": (lambda m: setattr(m.graph.output[0], "name", "q"), "'q'"),
    "an output that is an inner image": (
        lambda m: setattr(m.graph.output[0], "name", "a"), "become"
    ),
    "an output of the weights": (
        _of_weights,
        "does not depend",
    ),
    "an input that nobody makes": (lambda m: _node(m, "Relu", "nowhere"), "nowhere"),
    "a name twice": (lambda m: m.graph.node.append(m.graph.node[0]), "two values"),
    "channels that double": (_doubled, "numbers for each pixel"),
    "an inner image without end": (_huge, "numbers for each pixel"),
    "a padding without end": (_pads, "pads"),
    "sparse weights": (lambda m: m.graph.sparse_initializer.add(), "field number 15"),
    "weights of double": (
        lambda m: m.graph.initializer.append(numpy_helper.from_array(np.zeros(3), "d")),
        "neither float32",
    ),
    "too few bytes": (
        lambda m: setattr(m.graph.initializer[0], "raw_data", b"\0" * 4), "bytes, not"
    ),
    "a shape without end": (
        lambda m: m.graph.initializer[0].dims.__setitem__(0, 1 << 50), "bytes, not"
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_refused(what: str) -> None:
    change, words = REFUSED[what]
    with pytest.raises(GraphError, match=words):
        check_graph(_changed(change))


@pytest.mark.parametrize("model", [convolutions(), small_unet()])
def test_what_a_generator_is_made_of_passes(model: onnx.ModelProto) -> None:
    found = check_graph(model.SerializeToString())
    assert found.opset == 20
    assert sum(found.operators.values()) == len(model.graph.node)
    wanted = sum(int(np.prod(tensor.dims)) for tensor in model.graph.initializer)
    assert found.numbers == wanted


def test_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    data = convolutions().SerializeToString()
    for name in ("LARGEST_FILE", "MOST_NODES", "MOST_INITIALISERS", "MOST_NUMBERS"):
        with monkeypatch.context() as patch:
            patch.setattr(graph, name, 1)
            with pytest.raises(GraphError, match="at most"):
                check_graph(data)


@pytest.mark.parametrize("data", [b"", b"not onnx", b"\x80\x04\x95pickle", b"\xff" * 40])
def test_other_files_are_refused(data: bytes) -> None:
    with pytest.raises(EngineError):
        check_graph(data)


def test_a_second_graph_beside_the_first_is_refused() -> None:
    data = convolutions().SerializeToString()
    with pytest.raises(GraphError, match="twice"):
        check_graph(data + data)


@settings(max_examples=200)
@given(st.data())
def test_damage_ends_in_our_error_or_in_none(choice: st.DataObject) -> None:
    data = bytearray(small_unet().SerializeToString())
    for _ in range(choice.draw(st.integers(1, 4))):
        data[choice.draw(st.integers(0, len(data) - 1))] = choice.draw(st.integers(0, 255))
    cut = choice.draw(st.integers(0, len(data)))
    for damaged in (bytes(data), bytes(data[:cut])):
        try:
            found = check_graph(damaged)
        except GraphError:
            continue
        assert set(found.operators) <= OPERATORS


def test_looking_needs_no_onnx() -> None:
    code = "import sys, model_store.graph; print('onnx' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_the_zoo_passes() -> None:
    zoo = Path(graph.__file__).parent / "zoo"
    for path in sorted(zoo.glob("*/*/model.onnx")):
        assert check_graph(path.read_bytes()).numbers > 1000

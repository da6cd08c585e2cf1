"""Networks of every kind of layer that others would bring: they run alike, or are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from model_store.engines.onnxruntime import OnnxRuntimeEngine
from model_store.engines.openvino import OpenVinoEngine
from model_store.errors import GraphError
from model_store.graph import OPSETS, check_graph
from model_store.manifest import TilingSpec
from model_store.operators.table import GROUPS, RULES
from tests.support.factories.models import convolutions, model_version

foreign = pytest.importorskip("tests.support.factories.foreign")

TILING = TilingSpec(margin=16, stride=8)
KINDS = (
    "plain", "gelu", "activations", "layer norm", "layer norm by means", "window attention",
    "pixel shuffle", "unet", "resize", "reflecting", "batch norm", "depthwise",
)  # fmt: skip
GLOBAL = {
    "group norm": "over the whole image.*GroupNorm",
    "instance norm": "over the whole image",
    "channel attention": "ReduceMean.*depends on the whole image",
    "attention of all pixels": "attention of every pixel to every other",
    "crops its border": "4 rows and 4 columns less.*with padding",
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_layer_runs_alike_on_both_engines(kind: str, tmp_path: Path) -> None:
    version = model_version(tmp_path, network=foreign.foreign(kind), tiling=TILING)
    check_graph(version.read())
    rng = np.random.default_rng(0)
    with OnnxRuntimeEngine(version, 1) as one, OpenVinoEngine(version, "f32", 1) as other:
        for shape in ((1, 1, 64, 96), (2, 1, 104, 72)):
            images = rng.standard_normal(shape).astype(np.float32)
            np.testing.assert_allclose(one.infer(images), other.infer(images), atol=1e-4)


@pytest.mark.parametrize("kind", ["gelu", "window attention"])
def test_what_the_default_exporter_of_torch_writes_runs_alike(kind: str, tmp_path: Path) -> None:
    version = model_version(tmp_path, network=foreign.newly_exported(kind), tiling=TILING)
    check_graph(version.read())
    images = np.random.default_rng(0).standard_normal((2, 1, 104, 72)).astype(np.float32)
    with OnnxRuntimeEngine(version, 1) as one, OpenVinoEngine(version, "f32", 1) as other:
        np.testing.assert_allclose(one.infer(images), other.infer(images), atol=1e-4)


@pytest.mark.parametrize("kind", GLOBAL)
def test_what_depends_on_the_whole_image_or_crops_is_refused_with_the_reason(kind: str) -> None:
    with pytest.raises(GraphError, match=GLOBAL[kind]):
        check_graph(foreign.foreign(kind))


@pytest.mark.parametrize("opset", OPSETS)
def test_every_operator_set_that_passes_runs_on_both_engines(opset: int, tmp_path: Path) -> None:
    network = convolutions()
    network.opset_import[0].version = opset
    version = model_version(tmp_path, network=network)
    assert check_graph(version.read()).opset == opset
    image = np.ones((1, 1, 16, 24), np.float32)
    with OnnxRuntimeEngine(version, 1) as one, OpenVinoEngine(version, "f32", 1) as other:
        np.testing.assert_allclose(one.infer(image), other.infer(image), atol=1e-5)


def test_the_reference_lists_every_operator_once() -> None:
    listed = [name for names in GROUPS.values() for name in names]
    assert sorted(listed) == sorted(RULES)


def _graph(*nodes: onnx.NodeProto, **constants: np.ndarray) -> bytes:
    """A graph of a convolution, and what comes after it."""
    kernel = np.ones((1, 1, 3, 3), np.float32) / 9
    free: list[str | int | None] = ["n", 1, "h", "w"]
    made = helper.make_graph(
        [helper.make_node("Conv", ["x", "k"], ["c"], pads=[1, 1, 1, 1]), *nodes],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, free)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, free)],
        [
            numpy_helper.from_array(array, name)
            for name, array in {"k": kernel, **constants}.items()
        ],
    )
    opset = helper.make_opsetid("", 18)
    return bytes(helper.make_model(made, opset_imports=[opset], ir_version=10).SerializeToString())


def _ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


WRONG: dict[str, tuple[bytes, str]] = {
    "a shape that pixels decide": (
        _graph(
            helper.make_node("Cast", ["c"], ["i"], to=TensorProto.INT64),
            helper.make_node("Reshape", ["c", "i"], ["y"]),
        ),
        "must follow from constants and the sizes",
    ),
    "a shape that does not fit": (
        _graph(helper.make_node("Reshape", ["c", "s"], ["y"]), s=_ints(1, 3, 5, 7)),
        "does not go into the shape",
    ),
    "places that pixels decide": (
        _graph(
            helper.make_node("Cast", ["c"], ["i"], to=TensorProto.INT64),
            helper.make_node("Gather", ["c", "i"], ["y"]),
        ),
        "must not depend on pixels",
    ),
    "half precision inside": (
        _graph(helper.make_node("Cast", ["c"], ["y"], to=TensorProto.FLOAT16)),
        "another type than float32",
    ),
    "a softmax over a row": (
        _graph(helper.make_node("Softmax", ["c"], ["y"], axis=3)), "depends on the whole image"
    ),
    "a tensor a thousand times the image": (
        _graph(helper.make_node("Tile", ["c", "s"], ["y"]), s=_ints(1, 1, 1000, 1000)),
        "numbers for each pixel",
    ),
    "a row that is added to another": (
        _graph(helper.make_node("Add", ["c", "s"], ["y"]), s=np.ones((5, 7), np.float32)),
        "do not go together",
    ),
    "a split that leaves something": (
        _graph(helper.make_node("Split", ["c", "s"], ["y", "z"], axis=1), s=_ints(1, 1)),
        "is not divided into",
    ),
    "an axis that there is not": (
        _graph(helper.make_node("Concat", ["c", "c"], ["y"], axis=9)), "no axis 9 among 4"
    ),
    "twice as large": (
        _graph(
            helper.make_node("Resize", ["c", "", "s"], ["y"]), s=np.array([1, 1, 2, 2], np.float32)
        ),
        "become",
    ),
    "a range without end": (
        _graph(
            helper.make_node("Range", ["s", "e", "t"], ["r"]),
            helper.make_node("Add", ["c", "r"], ["y"]),
            s=np.array(0), e=np.array(5), t=np.array(0),
        ),
        "no end",
    ),
    "three dimensions": (
        _graph(helper.make_node("Squeeze", ["c", "s"], ["y"]), s=_ints(1)), "become"
    ),
    "batch normalisation in training": (
        _graph(
            helper.make_node("BatchNormalization", ["c", *"pppp"], ["y"], training_mode=1),
            p=np.ones(1, np.float32),
        ),
        "training mode",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_a_graph_whose_sizes_go_wrong_is_refused_before_an_engine_sees_it(what: str) -> None:
    data, words = WRONG[what]
    with pytest.raises(GraphError, match=words):
        check_graph(data)


def test_weights_of_half_precision_are_refused_with_what_to_do() -> None:
    model = convolutions()
    half = numpy_helper.to_array(model.graph.initializer[0]).astype(np.float16)
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(half, "w0"))
    with pytest.raises(GraphError, match="float16; convert the model to float32"):
        check_graph(model.SerializeToString())

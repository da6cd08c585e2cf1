from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper
from onnx.reference import ReferenceEvaluator

from model_store.engines.tensorrt.library import TensorrtLibrary
from model_store.engines.tensorrt.network import BuildSettings, TensorrtNetwork
from model_store.engines.tensorrt.precision import PlanPrecision, typed
from model_store.engines.tensorrt.profile import Profile, profile_for, profiles_of
from model_store.errors import EngineError
from model_store.manifest import TilingSpec
from model_store.ref import ModelRef
from model_store.store import ModelStore
from tests.support.factories.models import convolutions, model_version, small_unet

PLAN_PRECISIONS: tuple[PlanPrecision, ...] = ("f32", "f16")  # int8 and fp8 are in test_quantise
REF = ModelRef("toy-ct", "1.0.0", "0" * 64)
SMALL = (Profile("slices", (1, 2, 2), (2, 32, 32), (2, 32, 32)),)


def test_f32_is_the_released_file() -> None:
    data = convolutions().SerializeToString()
    assert typed(data, "f32", REF) == data


def test_f16_computes_in_half_with_float32_at_both_ends() -> None:
    made = onnx.load_from_string(typed(small_unet().SerializeToString(), "f16", REF))
    ends = (*made.graph.input, *made.graph.output)
    assert {port.type.tensor_type.elem_type for port in ends} == {TensorProto.FLOAT}
    kinds = {tensor.name: tensor.data_type for tensor in made.graph.initializer}
    assert kinds.pop("scales") == TensorProto.FLOAT
    assert set(kinds.values()) == {TensorProto.FLOAT16}
    assert [node.op_type for node in made.graph.node].count("Cast") == 2


def test_f16_stays_close_to_f32() -> None:
    data = small_unet().SerializeToString()
    images = np.random.default_rng(0).random((1, 1, 16, 16), dtype=np.float32)
    found: list[Any] = [
        ReferenceEvaluator(onnx.load_from_string(typed(data, precision, REF))).run(
            None, {"x": images}
        )
        for precision in PLAN_PRECISIONS
    ]
    (exact,), (half,) = found
    assert half.dtype == np.float32
    assert 0 < np.abs(exact - half).max() < 5e-3


def test_weights_beyond_half_are_refused() -> None:
    model = convolutions()
    weights = numpy_helper.to_array(model.graph.initializer[0]) * 1e6
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(weights, "w0"))
    with pytest.raises(EngineError, match="w0 has weights beyond"):
        typed(model.SerializeToString(), "f16", REF)


@pytest.mark.parametrize("data", [b"", b"not onnx", b"\0" * 100])
@pytest.mark.parametrize("precision", PLAN_PRECISIONS)
def test_bytes_that_are_no_network_are_refused(
    library: TensorrtLibrary, data: bytes, precision: PlanPrecision
) -> None:
    with pytest.raises(EngineError):
        TensorrtNetwork(library, typed(data, precision, REF), REF)


@pytest.mark.parametrize(("precision", "inside"), [("f32", "FLOAT"), ("f16", "HALF")])
@pytest.mark.parametrize("model", [convolutions(), small_unet()])
def test_a_network_is_strongly_typed_and_becomes_a_plan(
    library: TensorrtLibrary, model: onnx.ModelProto, precision: PlanPrecision, inside: str
) -> None:
    network = TensorrtNetwork(library, typed(model.SerializeToString(), precision, REF), REF)
    assert network.strongly_typed
    assert network.layers >= 3
    assert max(network.types().items(), key=lambda item: item[1])[0] == inside
    assert len(network.build(SMALL, BuildSettings()).plan) > 1000


@pytest.mark.parametrize("precision", PLAN_PRECISIONS)
def test_released_models_become_plans_for_slices_and_tiles(
    library: TensorrtLibrary, precision: PlanPrecision
) -> None:
    for version in ModelStore().versions():
        network = TensorrtNetwork(
            library, typed(version.read(), precision, version.ref), version.ref
        )
        plan = network.build(profiles_of(version.manifest), BuildSettings(level=0)).plan
        assert len(plan) > version.manifest.parameters


def test_a_profile_that_contradicts_itself_is_refused(library: TensorrtLibrary) -> None:
    network = TensorrtNetwork(library, convolutions().SerializeToString(), REF)
    with pytest.raises(EngineError, match="refused profile"):
        network.build((Profile("odd", (4, 8, 8), (2, 8, 8), (1, 8, 8)),), BuildSettings())


def test_a_network_of_one_fixed_size_is_refused(library: TensorrtLibrary) -> None:
    model = convolutions()
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 512
    with pytest.raises(EngineError, match="free N, H and W"):
        TensorrtNetwork(library, model.SerializeToString(), REF)


@pytest.mark.parametrize(("margin", "stride"), [(17, 1), (160, 32), (1100, 48)])
def test_profiles_take_slices_in_batches_and_any_tile(
    tmp_path: Path, margin: int, stride: int
) -> None:
    tiling = TilingSpec(margin=margin, stride=stride)
    slices, tiles = profiles_of(model_version(tmp_path, tiling=tiling).manifest, batch=24)
    assert slices.most[0] == 24
    assert slices.takes(slices.usual[1], slices.usual[2])
    assert slices.usual[1] >= 512
    assert tiles.most[1] >= max(2048, 2 * margin + stride)
    assert all(side % stride == 0 for side in (*slices.most[1:], *tiles.most[1:]))
    assert profile_for((slices, tiles), stride, stride) == 0
    assert profile_for((slices, tiles), tiles.most[1], stride) == 1

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from model_store.engines.golden import golden_images
from model_store.engines.tensorrt.calibration import largest_values
from model_store.engines.tensorrt.engine import make_plan
from model_store.engines.tensorrt.library import TensorrtLibrary
from model_store.engines.tensorrt.network import BuildSettings, TensorrtNetwork
from model_store.engines.tensorrt.plan import Plan
from model_store.engines.tensorrt.precision import (
    PLAN_PRECISIONS,
    PlanPrecision,
    require_arithmetic,
    typed,
)
from model_store.engines.tensorrt.profile import Profile
from model_store.engines.tensorrt.quantise import KINDS, Kind, codes, quantisable, quantise
from model_store.errors import EngineError, EngineUnavailableError
from model_store.manifest import TilingSpec
from model_store.ref import ModelRef
from model_store.store import ModelStore
from tests.support.factories.device import H200
from tests.support.factories.models import convolutions, model_version, wide_unet
from tests.support.factories.released import released

REF = ModelRef("toy-ct", "1.0.0", "0" * 64)
SMALL = (Profile("slices", (1, 2, 2), (2, 32, 32), (2, 32, 32)),)
TYPES = {"int8": TensorProto.INT8, "fp8": TensorProto.FLOAT8E4M3FN}


def images(count: int = 2) -> np.ndarray:
    return np.random.default_rng(3).random((count, 1, 16, 16), dtype=np.float32)


def run(data: bytes, given: np.ndarray, *more: str) -> list[np.ndarray]:
    """Every node as it stands: Q and DQ round, and nothing is fused over them."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    model = onnx.load_from_string(data)
    model.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in more
    )
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session.run(None, {"x": given})


def made(kind: Kind, model: onnx.ModelProto | None = None) -> onnx.ModelProto:
    """A model between Q/DQ nodes, the rest still in float32."""
    result = model if model is not None else wide_unet()
    names = [node.input[0] for node in quantisable(result.graph, kind)]
    largest = largest_values(result.SerializeToString(), names, images(), REF)
    quantise(onnx, result, kind, largest, REF)
    onnx.checker.check_model(result)
    return result


def test_calibration_finds_the_largest_value_over_all_images() -> None:
    data = wide_unet().SerializeToString()
    found = largest_values(data, ["b", "g"], images(5), REF)
    _, b, g = run(data, images(5), "b", "g")
    assert found == pytest.approx({"b": np.abs(b).max(), "g": np.abs(g).max()}, rel=1e-5)


def test_calibration_says_what_it_cannot_find_or_count() -> None:
    data = wide_unet().SerializeToString()
    with pytest.raises(EngineError, match="calibrating toy-ct"):
        largest_values(data, ["nothing"], images(), REF)
    with pytest.raises(EngineError, match="b is not finite"):
        largest_values(data, ["b"], images() * np.float32(np.inf), REF)


def test_every_fp8_number_is_its_own_code() -> None:
    every = np.arange(256, dtype=np.uint8)
    tensor = helper.make_tensor("t", TYPES["fp8"], [256], every.tobytes(), raw=True)
    values = numpy_helper.to_array(tensor).astype(np.float32)
    numbers = np.isfinite(values)
    assert numbers.sum() == 254
    np.testing.assert_array_equal(codes(values[numbers], "fp8"), every[numbers])


def test_fp8_takes_the_nearest_number_and_the_even_one_between_two() -> None:
    rng = np.random.default_rng(0)
    steps = np.concatenate([rng.uniform(-448, 448, 5000), rng.uniform(-0.1, 0.1, 5000)])
    packed = codes(steps, "fp8")
    tensor = helper.make_tensor("t", TYPES["fp8"], [len(steps)], packed.tobytes(), raw=True)
    back = numpy_helper.to_array(tensor).astype(np.float64)
    np.testing.assert_array_less(np.abs(back - steps), np.abs(steps) / 16 + 2.0**-10 + 1e-12)
    assert list(codes(np.array([17.0, 19.0, 1e9, -1e9]), "fp8")) == [0x58, 0x5A, 0x7E, 0xFE]


def test_int8_is_symmetric() -> None:
    steps = np.array([-200.0, -127.4, -0.5, 0.0, 1.5, 2.5, 126.6, 200.0])
    assert list(codes(steps, "int8").view(np.int8)) == [-127, -127, 0, 0, 2, 2, 127, 127]


@pytest.mark.parametrize("kind", KINDS)
def test_the_ends_the_narrow_and_the_transposed_stay_as_they_are(kind: Kind) -> None:
    assert [node.output[0] for node in quantisable(wide_unet().graph, kind)] == ["c", "e", "h"]
    assert not quantisable(wide_unet(width=8).graph, kind)
    assert not quantisable(convolutions().graph, kind)
    grouped = wide_unet()
    grouped.graph.node[2].attribute.append(helper.make_attribute("group", 2))
    assert [node.output[0] for node in quantisable(grouped.graph, kind)] == ["e", "h"]


@pytest.mark.parametrize("kind", KINDS)
def test_an_image_that_two_layers_read_is_rounded_once(kind: Kind) -> None:
    model = wide_unet()
    model.graph.node[4].input[0] = "b"  # the third layer reads what the second reads
    model.graph.node[4].attribute.append(helper.make_attribute("strides", [2, 2]))
    count = Counter(node.op_type for node in made(kind, model).graph.node)
    assert (count["QuantizeLinear"], count["DequantizeLinear"]) == (2, 5)


@pytest.mark.parametrize(("kind", "scales"), [("int8", 16), ("fp8", 1)])
def test_weights_are_kept_in_8_bits_with_scales_that_clip_nothing(kind: Kind, scales: int) -> None:
    held = {tensor.name: tensor for tensor in made(kind).graph.initializer}
    assert "w1" not in held
    assert held[f"w1/{kind}"].data_type == TYPES[kind]
    scale = numpy_helper.to_array(held["w1/scale"])
    assert scale.size == scales
    np.testing.assert_array_equal(scale, scale.astype(np.float16))
    weights = numpy_helper.to_array(wide_unet().graph.initializer[1])
    back = numpy_helper.to_array(held[f"w1/{kind}"]).astype(np.float32) * scale.reshape(-1, 1, 1, 1)
    assert np.abs(weights - back).max() <= np.abs(weights).max() * (
        0.51 / 127 if scales > 1 else 0.04
    )


@pytest.mark.parametrize("kind", KINDS)
def test_scales_beyond_half_are_refused(kind: Kind) -> None:
    largest = dict.fromkeys(("b", "d", "g"), 1e9)
    with pytest.raises(EngineError, match="beyond what"):
        quantise(onnx, wide_unet(), kind, largest, REF)


@pytest.mark.parametrize("kind", KINDS)
def test_layers_that_are_always_zero_do_no_harm(kind: Kind) -> None:
    model = wide_unet()
    quantise(onnx, model, kind, dict.fromkeys(("b", "d", "g"), 0.0), REF)
    assert np.isfinite(run(model.SerializeToString(), images())[0]).all()


@pytest.mark.parametrize(("kind", "most"), [("int8", 0.04), ("fp8", 0.15)])
def test_a_quantised_network_stays_near_float(kind: Kind, most: float) -> None:
    data = wide_unet().SerializeToString()
    exact = run(data, images())[0]
    mixed = run(made(kind).SerializeToString(), images())[0]
    whole = run(typed(data, kind, REF, images()), images())[0]
    assert whole.dtype == np.float32
    size = np.abs(exact).max()
    assert 1e-4 * size < np.abs(mixed - exact).max() < most * size
    assert np.abs(whole - exact).max() < most * size


@pytest.mark.parametrize("kind", KINDS)
def test_calibration_is_repeatable(kind: Kind) -> None:
    data = wide_unet().SerializeToString()
    assert typed(data, kind, REF, images()) == typed(data, kind, REF, images())
    assert typed(data, kind, REF, images()) != typed(data, kind, REF, images() * np.float32(2))


@pytest.mark.parametrize("kind", KINDS)
def test_without_images_or_wide_layers_a_precision_says_so(kind: Kind) -> None:
    with pytest.raises(EngineError, match=f"{kind} needs images"):
        typed(wide_unet().SerializeToString(), kind, REF)
    with pytest.raises(EngineError, match=f"no layer is wide enough for {kind}"):
        typed(convolutions().SerializeToString(), kind, REF, images())


@pytest.mark.parametrize(("kind", "inside"), [("int8", "INT8"), ("fp8", "FP8")])
def test_tensorrt_takes_the_network_and_builds_it(
    library: TensorrtLibrary, kind: Kind, inside: str
) -> None:
    given = typed(wide_unet().SerializeToString(), kind, REF, images())
    network = TensorrtNetwork(library, given, REF)
    assert network.strongly_typed
    assert network.types()[inside] == 6  # three images, three weights
    assert len(network.build(SMALL, BuildSettings()).plan) > 1000


@pytest.mark.parametrize("kind", KINDS)
def test_released_models_are_taken(library: TensorrtLibrary, kind: Kind) -> None:
    for version in ModelStore().versions():
        crop = np.ascontiguousarray(golden_images(version.manifest)[2:, :, :64, :64])
        network = TensorrtNetwork(
            library, typed(version.read(), kind, version.ref, crop), version.ref
        )
        assert network.types()[{"int8": "INT8", "fp8": "FP8"}[kind]] >= 10


def test_fp8_needs_a_gpu_that_has_it(library: TensorrtLibrary, tmp_path: Path) -> None:
    for precision in PLAN_PRECISIONS:
        require_arithmetic(precision, (9, 0), "NVIDIA H200")
    require_arithmetic("int8", (8, 0), "NVIDIA A100")
    with pytest.raises(EngineUnavailableError, match=r"fp8 needs compute capability 8\.9, NVIDIA"):
        require_arithmetic("fp8", (8, 0), "NVIDIA A100")


def test_a_plan_is_kept_for_its_precision(library: TensorrtLibrary, tmp_path: Path) -> None:
    version = model_version(tmp_path, network=wide_unet())
    folder, quick = tmp_path / "plans", BuildSettings(level=0)

    def plan(precision: PlanPrecision) -> Plan:
        return make_plan(version, precision, library, H200, folder, settings=quick).plan

    first, again, other = plan("int8"), plan("int8"), plan("f16")
    assert (first.story, again.story, other.story) == ("built", "from the cache", "built")
    assert first.key.parts["precision"] == "int8"


def test_a_version_is_calibrated_on_its_own_images(
    library: TensorrtLibrary, tmp_path: Path
) -> None:
    own = released(tmp_path, network=wide_unet(), tiling=TilingSpec(margin=8, stride=2))
    without = model_version(tmp_path, "other-ct", network=wide_unet())
    quick, keys = BuildSettings(level=0), set()
    for version in (own, without):
        made = make_plan(version, "int8", library, H200, tmp_path / "plans", settings=quick)
        keys.add((made.plan.key.parts["onnx"], made.plan.key.parts["network"]))
    assert len({onnx_ for onnx_, _ in keys}) == 1
    assert len({given for _, given in keys}) == 2


def test_a_precision_that_tensorrt_cannot_build_says_why(
    library: TensorrtLibrary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> object:
        raise EngineError("TensorRT could not build a plan: no implementation for node 7")

    monkeypatch.setattr(TensorrtNetwork, "build", fails)
    version = model_version(tmp_path, network=wide_unet())
    with pytest.raises(EngineError, match=r"no fp8 plan on NVIDIA H200: .* for node 7"):
        make_plan(version, "fp8", library, H200, tmp_path / "plans")

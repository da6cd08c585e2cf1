from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from model_store.engines.base import DeviceLostError, Engine, Images
from model_store.engines.equivalence import compare
from model_store.engines.golden import golden_images
from model_store.engines.openvino import OpenVinoEngine, supports
from model_store.engines.select import Kind, Precision, build_engine, choose_engine
from model_store.engines.tensorrt import build_tensorrt
from model_store.engines.tensorrt.library import INSTALL
from model_store.errors import EngineError, EngineUnavailableError
from model_store.manifest import InputSpec, TilingSpec
from model_store.store import ModelVersion
from tests.support.factories.models import HU, STORED, convolutions, model_version, small_unet


@pytest.fixture
def version(tmp_path: Path) -> ModelVersion:
    return model_version(tmp_path)


class Shifted(Engine):
    """Gives a constant."""

    def __init__(self, version: ModelVersion, value: float) -> None:
        super().__init__(version.ref, name="shifted", precision="f32", device="here")
        self._value = value

    def _run(self, images: Images) -> Images:
        return np.full_like(images, self._value)

    def close(self) -> None:
        pass


def test_f32_on_openvino_is_the_default(version: ModelVersion) -> None:
    choice = choose_engine(version)
    assert (choice.engine.name, choice.engine.precision) == ("openvino", "f32")
    assert "f32" in choice.reason
    assert "not tensorrt" in choice.reason


def _without_tensorrt(monkeypatch: pytest.MonkeyPatch) -> None:
    def installed() -> str:
        raise EngineUnavailableError(f"TensorRT is not installed: {INSTALL}")

    monkeypatch.setattr("model_store.engines.tensorrt.engine.installed", installed)


def _with_tensorrt(
    monkeypatch: pytest.MonkeyPatch, made: Callable[[ModelVersion, str], Engine]
) -> None:
    monkeypatch.setattr("model_store.engines.select.build_tensorrt", made)


def test_auto_takes_tensorrt_where_it_can_run(
    version: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    _with_tensorrt(monkeypatch, lambda version, precision: Shifted(version, 0.0))
    choice = choose_engine(version)
    assert isinstance(choice.engine, Shifted)
    assert choice.reason == "tensorrt f32: it can run here"


def test_auto_says_why_tensorrt_could_not_be_built(
    version: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    def made(version: ModelVersion, precision: str) -> Engine:
        raise EngineError("the builder failed")

    _with_tensorrt(monkeypatch, made)
    choice = choose_engine(version)
    assert choice.engine.name == "openvino"
    assert "not tensorrt: the builder failed" in choice.reason
    with pytest.raises(EngineUnavailableError, match=r"f16.*the builder failed"):
        choose_engine(version, precision="f16")


def test_a_lost_device_is_not_hidden_by_another_engine(
    version: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    def made(version: ModelVersion, precision: str) -> Engine:
        raise DeviceLostError("gone")

    _with_tensorrt(monkeypatch, made)
    with pytest.raises(DeviceLostError):
        choose_engine(version)


@pytest.mark.parametrize(("shift", "kept"), [(0.5 / 4096, "f16"), (2 / 4096, "f32")])
def test_auto_precision_takes_f16_only_if_it_is_close(
    version: ModelVersion, monkeypatch: pytest.MonkeyPatch, shift: float, kept: str
) -> None:
    engines = {"f32": Shifted(version, 0.0), "f16": Shifted(version, shift)}
    _with_tensorrt(monkeypatch, lambda version, precision: engines[precision])
    choice = choose_engine(version, "tensorrt", "auto")
    assert choice.engine is engines[kept]
    assert "f16 against f32" in choice.reason


def test_auto_precision_keeps_f32_where_f16_cannot_be_built(
    version: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    def made(version: ModelVersion, precision: str) -> Engine:
        if precision != "f32":
            raise EngineError(f"no {precision} plan")
        return Shifted(version, 0.0)

    _with_tensorrt(monkeypatch, made)
    choice = choose_engine(version, "auto", "auto")
    assert (choice.engine.name, choice.engine.precision) == ("shifted", "f32")
    assert "not f16: no f16 plan" in choice.reason


@pytest.mark.parametrize("precision", ["int8", "fp8"])
def test_eight_bits_are_tensorrts_and_only_if_asked_for(
    version: ModelVersion, monkeypatch: pytest.MonkeyPatch, precision: Precision
) -> None:
    asked: list[str] = []

    def made(version: ModelVersion, precision: str) -> Engine:
        asked.append(precision)
        return Shifted(version, 0.0)

    _without_tensorrt(monkeypatch)
    for kind in ("openvino", "onnxruntime", "torch"):
        with pytest.raises(EngineUnavailableError):
            choose_engine(version, kind, precision)
    with pytest.raises(EngineUnavailableError, match=f"not in {precision}; not tensorrt: Tensor"):
        choose_engine(version, "auto", precision)
    _with_tensorrt(monkeypatch, made)
    choose_engine(version, "auto", "auto")
    assert asked == ["f32", "f16"]
    assert (
        choose_engine(version, "auto", precision).reason == f"tensorrt {precision}: it can run here"
    )


def test_tensorrt_names_what_to_install(
    version: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    _without_tensorrt(monkeypatch)
    assert "dicom-node[gpu]" in choose_engine(version).reason
    with pytest.raises(EngineUnavailableError, match=r"dicom-node\[gpu\]"):
        build_tensorrt(version)
    with pytest.raises(EngineUnavailableError):
        build_engine(version, "tensorrt")
    with pytest.raises(EngineUnavailableError, match="bf16"):
        build_engine(version, "tensorrt", "bf16")


@pytest.mark.parametrize("amplitude", [1e-4, 5.0])
def test_auto_precision_takes_bf16_only_if_it_is_close(tmp_path: Path, amplitude: float) -> None:
    version = model_version(tmp_path, network=convolutions(amplitude=amplitude))
    choice = choose_engine(version, "openvino", "auto")
    close = supports("bf16") and amplitude < 1
    assert choice.engine.precision == ("bf16" if close else "f32")
    assert "bf16" in choice.reason


@pytest.mark.parametrize("kind", ["onnxruntime", "torch"])
def test_engines_without_bf16_say_so(version: ModelVersion, kind: Kind) -> None:
    with pytest.raises(EngineUnavailableError, match="f32 only"):
        build_engine(version, kind, "bf16")


def test_unknown_kinds_and_precisions_are_refused(version: ModelVersion) -> None:
    with pytest.raises(EngineError, match="is unknown; choose"):
        build_engine(version, "abacus")  # type: ignore[arg-type]
    with pytest.raises(EngineError, match="is unknown; choose"):
        build_engine(version, "openvino", "f8")  # type: ignore[arg-type]


@pytest.mark.parametrize("network", [convolutions(), small_unet()])
def test_onnxruntime_and_openvino_agree(tmp_path: Path, network: onnx.ModelProto) -> None:
    pytest.importorskip("onnxruntime")
    version = model_version(tmp_path, network=network, tiling=TilingSpec(margin=6, stride=2))
    with build_engine(version, "onnxruntime") as one, OpenVinoEngine(version) as other:
        assert compare(one, other, version.manifest).largest < 0.05


def test_onnxruntime_reports_broken_networks(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    with pytest.raises(EngineError):
        build_engine(model_version(tmp_path, network=b"not onnx"), "onnxruntime")


@pytest.mark.parametrize(("spec", "units"), [(HU, "HU"), (STORED, "grey levels of 12 bits")])
def test_a_comparison_is_in_units_of_the_image(tmp_path: Path, spec: InputSpec, units: str) -> None:
    version = model_version(tmp_path, input_spec=spec)
    step = 2 / 4096 if units == "HU" else 2 / 4095
    found = compare(Shifted(version, 0.0), Shifted(version, step), version.manifest)
    assert found.units == units
    assert found.largest == pytest.approx(2, rel=1e-5)
    assert found.rms == pytest.approx(2, rel=1e-5)
    assert not found.passed
    assert units in str(found)


def test_values_that_are_no_numbers_never_pass(version: ModelVersion) -> None:
    found = compare(Shifted(version, 0.0), Shifted(version, np.nan), version.manifest)
    assert not found.passed


def test_engines_of_two_versions_are_not_compared(version: ModelVersion, tmp_path: Path) -> None:
    other = model_version(tmp_path, "other")
    with pytest.raises(EngineError, match="cannot be compared"):
        compare(Shifted(version, 0), Shifted(other, 0), version.manifest)


@pytest.mark.parametrize("spec", [HU, STORED])
def test_golden_images_are_within_what_the_model_takes(tmp_path: Path, spec: InputSpec) -> None:
    manifest = model_version(tmp_path, input_spec=spec).manifest
    images = golden_images(manifest)
    assert images.dtype == np.float32
    assert images.shape == (3, 1, 256, 256)
    assert images.min() >= 0
    assert images.max() <= 1
    np.testing.assert_array_equal(images, golden_images(manifest))

from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import PackageNotFoundError
from typing import Any

import pytest

from model_store.engines import available
from model_store.engines.available import Option, options
from model_store.engines.openvino import supports
from model_store.engines.tensorrt.device import DeviceProperties
from model_store.engines.tensorrt.library import TensorrtLibrary
from model_store.errors import EngineUnavailableError
from tests.support.factories.device import H200


def found() -> dict[tuple[str, str], Option]:
    return {(each.engine, each.precision): each for each in options()}


def _unavailable(why: str) -> Callable[..., Any]:
    def raises(*_: object) -> Any:
        raise EngineUnavailableError(why)

    return raises


def _with_gpu(monkeypatch: pytest.MonkeyPatch, about: DeviceProperties, name: str) -> None:
    monkeypatch.setattr(available, "_gpu", lambda: (TensorrtLibrary(name, "11.3", None), about))


def test_every_engine_is_there_with_what_it_runs_on_or_why_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(available, "installed", _unavailable("TensorRT is not installed: do"))
    rows = found()
    assert list(rows) == [
        ("openvino", "f32"), ("openvino", "bf16"), ("onnxruntime", "f32"), ("tensorrt", "f32"),
        ("tensorrt", "f16"), ("tensorrt", "int8"), ("tensorrt", "fp8"), ("torch", "f32"),
    ]  # fmt: skip
    assert rows["openvino", "f32"].why_not == ""
    assert rows["openvino", "f32"].device
    assert bool(rows["openvino", "bf16"].why_not) != supports("bf16")
    assert rows["tensorrt", "fp8"].why_not == "TensorRT is not installed: do"


def test_a_gpu_has_the_precisions_that_it_computes_in(monkeypatch: pytest.MonkeyPatch) -> None:
    _with_gpu(monkeypatch, H200, "tensorrt")
    rows = found()
    assert rows["tensorrt", "fp8"] == Option("tensorrt", "fp8", "NVIDIA H200", "tensorrt 11.3")
    _with_gpu(monkeypatch, replace(H200, name="NVIDIA A100", capability="8.0"), "tensorrt")
    rows = found()
    assert rows["tensorrt", "int8"].why_not == ""
    assert rows["tensorrt", "fp8"].why_not.startswith("fp8 needs compute capability 8.9")


def test_tensorrt_for_rtx_is_no_engine_of_a_hopper(monkeypatch: pytest.MonkeyPatch) -> None:
    _with_gpu(monkeypatch, H200, "tensorrt_rtx")
    assert all(
        "install the full TensorRT" in each.why_not
        for each in options()
        if each.engine == "tensorrt"
    )


def test_what_needs_onnx_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    _with_gpu(monkeypatch, H200, "tensorrt")
    monkeypatch.setattr(available, "find_spec", lambda name: None)
    rows = found()
    assert rows["tensorrt", "f32"].why_not == ""
    assert "f16 needs onnx" in rows["tensorrt", "f16"].why_not


def test_packages_that_are_not_installed_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(available, "load_openvino", _unavailable("OpenVINO cannot be imported"))
    monkeypatch.setattr("model_store.engines.available.importlib.import_module", missing)
    monkeypatch.setattr(available, "version", _not_there)
    rows = found()
    assert "OpenVINO" in rows["openvino", "bf16"].why_not
    assert "dicom-node[onnxruntime]" in rows["onnxruntime", "f32"].why_not
    assert "dicom-node[train]" in rows["torch", "f32"].why_not


def _not_there(name: str) -> str:
    raise PackageNotFoundError(name)

"""The pieces of ``make gpu-check``, on a machine without a GPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks import gpu
from model_store.errors import EngineError, EngineUnavailableError
from tests.support.factories.models import drl_version, model_version

PEAK = gpu.Peak({"f32": 60e12, "f16": 800e12}, 50e9)


def made(run: gpu.Run) -> gpu.Make:
    return lambda: (run, lambda: None)


def failing(error: Exception) -> gpu.Make:
    def make() -> tuple[gpu.Run, object]:
        raise error

    return make  # type: ignore[return-value]


def test_the_roofline_is_the_slower_of_arithmetic_and_copies() -> None:
    assert PEAK.images_per_second("f32", 300_000, 10**6) == pytest.approx(100)
    assert PEAK.images_per_second("f32", 1, 10**6) == pytest.approx(12_500)
    assert PEAK.images_per_second("int8", 300_000, 10**6) == PEAK.images_per_second(
        "f16", 300_000, 10**6
    )


def test_peaks_are_measured() -> None:
    torch = pytest.importorskip("torch")
    peak = gpu.measure_peak(torch, "cpu", side=64)
    assert peak.flops["f32"] > 0
    assert peak.flops["f16"] > 0
    assert peak.copy > 0


def test_a_rate_counts_images() -> None:
    calls: list[int] = []

    def run(images: gpu.Images) -> gpu.Images:
        calls.append(len(images))
        return images

    assert gpu.rate_of(run, np.zeros((4, 1, 8, 8), np.float32), 0) > 4
    assert calls == [4] * 6


def test_every_engine_is_measured_against_the_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    version = model_version(tmp_path)
    chosen = {
        ("torch eager", "f32"): made(lambda images: images),
        ("torch.compile", "f32"): failing(EngineUnavailableError("not here")),
        ("TensorRT", "f32"): made(lambda images: images + np.float32(2 / 4096)),
        ("TensorRT", "f16"): failing(EngineError("no plan")),
    }
    rates = gpu.measure(version, chosen, gpu.Clock(2), [1, 2])
    assert [(rate.engine, rate.batch) for rate in rates] == [
        ("torch eager", 1), ("torch eager", 2), ("TensorRT", 1), ("TensorRT", 2), ("TensorRT", 0),
    ]  # fmt: skip
    assert rates[2].largest_difference == pytest.approx(2, rel=1e-3)
    assert gpu.faults(rates)[0].endswith("TensorRT f32: off by 2 HU")
    assert gpu.faults(rates)[-1].endswith("TensorRT f16: it failed")
    assert "not measured: not here" in capsys.readouterr().out
    lines = gpu.table(rates, PEAK, {str(version.ref): 1000}).splitlines()
    assert len(lines) == 2 + len(rates)
    assert len({line.count("|") for line in lines}) == 1
    assert "2 HU" in lines[4]


def test_without_time_nothing_is_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = {("torch eager", "f32"): made(lambda images: images)}
    assert not gpu.measure(model_version(tmp_path), chosen, gpu.Clock(0), [1])
    assert "no time left" in capsys.readouterr().out


@pytest.mark.parametrize("precision", gpu.PRECISIONS)
def test_torch_runs_the_released_weights(tmp_path: Path, precision: str) -> None:
    torch = pytest.importorskip("torch")
    run = gpu.torch_run(drl_version(tmp_path), torch, "cpu", precision, compiled=False)
    images = np.random.default_rng(0).random((2, 1, 16, 16), dtype=np.float32)
    result = run(images)
    assert result.shape == images.shape
    assert result.dtype == np.float32


def test_tensorrt_takes_part_where_it_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = model_version(tmp_path)
    monkeypatch.setattr(gpu, "without_tensorrt", lambda: "torch alone")
    assert {name for name, _ in gpu.contestants(version, None, "cpu", tmp_path)} == {
        "torch eager", "torch.compile",
    }  # fmt: skip
    monkeypatch.setattr(gpu, "without_tensorrt", lambda: "")
    chosen = gpu.contestants(version, None, "cpu", tmp_path)
    assert {name for name, _ in chosen} == {"torch eager", "torch.compile", "TensorRT"}
    assert next(iter(chosen)) == ("torch eager", "f32")
    assert [precision for name, precision in chosen if name == "TensorRT"] == [
        "f32", "f16", "int8", "fp8",
    ]  # fmt: skip


def test_a_machine_without_a_gpu_is_told_so(capsys: pytest.CaptureFixture[str]) -> None:
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        assert gpu.measure_peak(torch, "cuda", side=256).copy > 0
        return
    assert gpu.main(["--quick"]) == 0
    assert gpu.main([]) == 2
    assert "sees no GPU" in capsys.readouterr().out


def test_what_is_missing_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gpu, "find_spec", lambda name: None)
    assert gpu.main([]) == 2
    assert "torch, pydantic, safetensors cannot be imported" in capsys.readouterr().out

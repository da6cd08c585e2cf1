"""``dicom-node model build|engines|bench`` on a node with a ledger."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from dicom_node.cli.model import bench as bench_module
from dicom_node.cli.model import engines
from dicom_node.cli.model.bench import bench
from dicom_node.ledger import certificates
from dicom_node.ledger.unit_of_work import Ledger
from dicom_node.settings import load
from model_store.engines import available
from model_store.engines.available import Option
from model_store.engines.base import EngineMemoryError
from model_store.engines.onnxruntime import OnnxRuntimeEngine
from model_store.engines.tensorrt.key import PlanKey
from model_store.engines.tensorrt.network import BuildOutput
from model_store.engines.tensorrt.plan import PlanCache
from model_store.errors import EngineUnavailableError
from tests.support.factories.models import STORED
from tests.support.factories.released import released
from tests.support.ledgers import fresh_url, open_ledger

APP = typer.Typer()
APP.command("build")(engines.build)
APP.command("engines")(engines.engines)
APP.command("bench")(bench)


class Node:
    """A node's configuration and ledger, and its commands."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ledger: Ledger = open_ledger(fresh_url(folder / "spool"))
        self.config = folder / "node.toml"
        self.configure()

    def configure(self, more: str = "", workers: str = 'engine = "onnxruntime"') -> None:
        self.config.write_text(
            f'[storage]\npath = "{self.folder / "spool"}"\n[models]\nunsigned = "accept"\n'
            f'[workers]\nthreads = 1\n{workers}\n[log]\nlevel = "error"\n{more}',
            encoding="utf-8",
        )

    def release(self, **how: Any) -> None:
        released(self.folder / "spool" / "models", **how)

    def run(self, *arguments: str, code: int = 0) -> str:
        done = CliRunner().invoke(
            APP, [*arguments, "--config", str(self.config)], env={"COLUMNS": "200"}
        )
        assert done.exit_code == code, done.output
        return done.output

    def json(self, *arguments: str, code: int = 0) -> Any:
        return json.loads(self.run(*arguments, "--json", code=code))

    def certificates(self) -> tuple[Any, ...]:
        with self.ledger.read() as session:
            return certificates.newest_first(session)


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Node]:
    monkeypatch.setenv("CACHE_DIRECTORY", str(tmp_path / "cache"))
    made = Node(tmp_path)
    yield made
    made.ledger.engine.dispose()


@pytest.fixture
def processors(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with ONNX Runtime and OpenVINO, and quick measurements."""
    here = (
        Option("onnxruntime", "f32", "CPU", "1"), Option("openvino", "f32", "CPU", "2"),
        Option("tensorrt", "f16", why_not="no CUDA device: none"),
    )  # fmt: skip
    monkeypatch.setattr(available, "options", lambda: here)
    monkeypatch.setattr(bench_module, "_SLICE", 32)
    monkeypatch.setattr(bench_module, "_TILE", 64)


def test_build_certifies_and_keeps_the_certificate(node: Node) -> None:
    node.release()
    said = node.json("build", "toy-ct@1.0.0", "--by", "me@here")
    assert (said["engine"]["engine"], said["engine"]["precision"]) == ("onnxruntime", "f32")
    assert said["reason"] == "onnxruntime f32: asked for"
    assert said["passed"]
    assert said["fresh"]
    (held,) = node.certificates()
    assert (held.engine, held.precision, held.who) == ("onnxruntime", "f32", "me@here")
    assert said["certificate"]["largest"] == held.largest < 1e-3
    text = node.run("build", "toy-ct@1.0.0", "--engine", "onnxruntime", "--precision", "f32")
    assert "within the limit of 1 HU" in text
    assert len(node.certificates()) == 1
    assert "openvino f32" in node.run("build", "toy-ct@1.0.0", "--engine", "openvino")
    assert len(node.certificates()) == 2


def test_an_engine_beyond_the_limit_ends_with_3_and_is_kept_as_such(node: Node) -> None:
    node.release(beside=2.3)
    assert "beyond the limit of 1 HU: largest difference 2.3" in node.run(
        "build", "toy-ct@1.0.0", code=3
    )
    assert not node.certificates()[0].passed
    node.configure("[promotion]\nequivalence_hu = 2.5\n")
    assert node.json("build", "toy-ct@1.0.0")["passed"]


def test_radiographs_are_held_against_their_own_limit(node: Node) -> None:
    node.release(beside=2.3, input_spec=STORED)
    text = node.run("build", "toy-ct@1.0.0", code=3)
    assert "beyond the limit of 1 grey levels of 12 bits" in text


def test_what_cannot_be_built_says_why(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    node.release()

    def missing(*_: object) -> Any:
        raise EngineUnavailableError("TensorRT is not installed: pip install 'dicom-node[gpu]'")

    monkeypatch.setattr("model_store.engines.select.build_tensorrt", missing)
    for precision in ("int8", "fp8"):
        text = node.run(
            "build", "toy-ct@1.0.0", "--engine", "tensorrt", "--precision", precision, code=1
        )
        assert "pip install 'dicom-node[gpu]'" in text
    assert "f32 only" in node.run("build", "toy-ct@1.0.0", "--precision", "int8", code=1)
    node.run("build", "toy-ct@1.0.0", "--engine", "abacus", code=2)
    node.run("build", "toy-ct@1.0.0", "--precision", "f8", code=2)
    node.run("build", "toy-ct@production", code=2)
    assert "no model toy-ct@9.0.0" in node.run("build", "toy-ct@9.0.0", code=1)
    assert node.certificates() == ()


def test_changed_bytes_are_refused_before_anything_is_built(node: Node) -> None:
    node.release()
    (node.folder / "spool" / "models" / "toy-ct" / "1.0.0" / "model.onnx").write_bytes(b"other")
    assert "sha256" in node.run("build", "toy-ct@1.0.0", code=3)


def test_engines_lists_what_runs_here_plans_and_certificates(node: Node) -> None:
    node.release()
    node.run("build", "toy-ct@1.0.0")
    sha256 = node.certificates()[0].onnx_sha256
    parts = {"onnx": sha256, "precision": "f16", "device.name": "NVIDIA L4", "library": "tensorrt"}
    cache = PlanCache(node.folder / "cache" / "plans")
    cache.get(PlanKey(parts, "l4"), lambda timings: BuildOutput(b"plan", b"timings"))
    changed = cache.get(PlanKey(parts | {"onnx": "0"}, "l4"), lambda _: BuildOutput(b"plan", b""))
    path = node.folder / "cache" / "plans" / "l4" / f"{changed.key.digest}.plan"
    path.write_bytes(b"other")
    said = node.json("engines")
    assert ("openvino", "f32") in {(row["engine"], row["precision"]) for row in said["engines"]}
    plans = {plan["version"]: plan["state"] for plan in said["plans"]}
    assert plans == {"toy-ct@1.0.0": "ready", "of no version here": "changed; will be built again"}
    (held,) = said["certificates"]
    assert (held["version"], held["engine"], held["passed"]) == (
        "toy-ct@1.0.0", "onnxruntime", "yes"
    )  # fmt: skip
    text = node.run("engines")
    assert "engines of this machine" in text
    assert "NVIDIA L4" in text


def test_engines_on_a_new_node_lists_nothing_that_is_not_there(node: Node) -> None:
    text = node.run("engines")
    assert "no TensorRT plans" in text
    assert "no certificates yet" in text


@pytest.mark.usefixtures("processors")
def test_bench_compares_what_there_is_and_says_what_is_not(node: Node) -> None:
    node.release()
    said = node.json("bench", "toy-ct@1.0.0", "--seconds", "1")
    assert [(row["engine"], row["size"], row["ratio_to"]) for row in said["rates"]] == [
        ("onnxruntime", "32 x 32", "onnxruntime f32"), ("openvino", "32 x 32", "onnxruntime f32"),
    ]  # fmt: skip
    assert said["rates"][0]["ratio"] == 1
    assert all(row["within_limit"] and row["rounds"] > 1 for row in said["rates"])
    assert said["not_measured"] == [
        {"engine": "tensorrt", "precision": "f16", "why": "no CUDA device: none"}
    ]
    assert node.certificates() == ()
    text = node.run("bench", "toy-ct@1.0.0", "--seconds", "1", "--engine", "openvino")
    assert "1.00 x openvino f32" in text
    assert "what this node is set to run was not measured" in text


@pytest.mark.usefixtures("processors")
def test_bench_measures_a_tile_of_radiographs_too(node: Node) -> None:
    node.release(input_spec=STORED)
    said = node.json("bench", "toy-ct@1.0.0", "--seconds", "1", "--engine", "onnxruntime")
    assert [row["size"] for row in said["rates"]] == ["32 x 32", "64 x 64"]


@pytest.mark.usefixtures("processors")
def test_bench_without_any_engine_fails(node: Node) -> None:
    node.release()
    assert "no engine" in node.run("bench", "toy-ct@1.0.0", "--engine", "tensorrt", code=1)
    node.run("bench", "toy-ct@1.0.0", "--engine", "abacus", code=2)


@pytest.mark.usefixtures("processors")
def test_bench_goes_on_without_an_engine_that_fails_for_memory(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    node.release(input_spec=STORED)
    run = OnnxRuntimeEngine._run

    def small(self: OnnxRuntimeEngine, images: Any) -> Any:
        if images.shape[2:] == (64, 64) and images.flat[0] > 0.6:  # the noise of the measurement
            raise EngineMemoryError("played")
        return run(self, images)

    monkeypatch.setattr(OnnxRuntimeEngine, "_run", small)
    said = node.json("bench", "toy-ct@1.0.0", "--seconds", "1")
    assert [(row["engine"], row["size"]) for row in said["rates"]] == [
        ("onnxruntime", "32 x 32"), ("openvino", "32 x 32"), ("openvino", "64 x 64"),
    ]  # fmt: skip
    assert said["not_measured"][-1]["why"] == "64 x 64: played"


def row(engine: str, precision: str, rate: float, *, within: bool | None = True) -> dict[str, Any]:
    return {
        "size": "512 x 512", "engine": engine, "precision": precision,
        "images_per_second": rate, "within_limit": within, "rounds": 9,
    }  # fmt: skip


def test_few_rounds_are_no_ground_for_advice(node: Node) -> None:
    rows = [row("openvino", "f32", 10), row("onnxruntime", "f32", 12) | {"rounds": 2}]
    said = bench_module._advice(load(node.config).workers, rows)
    assert said.startswith("too few rounds")


@pytest.mark.parametrize(
    ("workers", "said"),
    [
        ('engine = "auto"', "onnxruntime f32 is 1.20 times as fast as openvino f32"),
        ('engine = "onnxruntime"', "no engine within the limit is 1.1 times as fast as onnx"),
        ('engine = "auto"\nprecision = "auto"', "1.50 times as fast as openvino bf16"),
        ('engine = "tensorrt"', "was not measured"),
    ],
)  # fmt: skip
def test_advice_is_of_engines_within_the_limit_only(node: Node, workers: str, said: str) -> None:
    node.configure(workers=workers)
    rows = [
        row("openvino", "f32", 10), row("onnxruntime", "f32", 12),
        row("tensorrt", "int8", 99, within=False),
    ]  # fmt: skip
    if "precision" in workers:
        rows += [row("openvino", "bf16", 20), row("onnxruntime", "f32", 30)]
    assert said in bench_module._advice(load(node.config).workers, rows)

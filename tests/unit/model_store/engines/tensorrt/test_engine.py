import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from model_store.engines.base import EngineMemoryError
from model_store.engines.tensorrt import engine as engine_module
from model_store.engines.tensorrt.engine import TensorrtEngine, build_tensorrt
from model_store.engines.tensorrt.library import TensorrtLibrary, installed, load_library
from model_store.engines.tensorrt.network import BuildOutput, TensorrtNetwork
from model_store.engines.tensorrt.plan import Plan
from model_store.engines.tensorrt.profile import Profile
from model_store.engines.tensorrt.program import TensorrtProgram
from model_store.errors import EngineError, EngineUnavailableError, ModelIntegrityError
from model_store.store import ModelVersion
from tests.support.factories.device import FakeDevice, TwicePlusOne
from tests.support.factories.models import convolutions, model_version


@pytest.fixture
def version(tmp_path: Path) -> ModelVersion:
    return model_version(tmp_path)


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch, library: TensorrtLibrary) -> FakeDevice:
    """A GPU that is played, with plans by the real builder, of which nothing is deserialised."""
    device = FakeDevice()
    full = TensorrtLibrary("tensorrt", "11.0", library.api)
    monkeypatch.setattr(engine_module, "require_device", lambda: None)
    monkeypatch.setattr(engine_module, "CudaDevice", lambda: device)
    monkeypatch.setattr(engine_module, "TensorrtProgram", lambda *_: TwicePlusOne(device))
    monkeypatch.setattr(engine_module, "load_library", lambda: full)
    monkeypatch.setattr(TensorrtLibrary, "keeps_timings", False)
    return device


def test_an_engine_runs_its_plan_and_says_what_it_is(
    played: FakeDevice, version: ModelVersion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TensorrtLibrary, "refuses", lambda *_: False)
    images = np.random.default_rng(0).random((3, 1, 16, 12), dtype=np.float32)
    with TensorrtEngine(version, plans=tmp_path / "plans", batch=2) as engine:
        for _ in range(2):
            np.testing.assert_array_equal(engine.infer(images), 2 * images + 1)
        said = engine.describe()
        assert (engine.name, engine.precision, engine.preferred_batch) == ("tensorrt", "f32", 2)
    assert said["library"] == "tensorrt 11.0"
    assert said["device"] == "NVIDIA H200"
    assert said["plan"] == "built"
    assert len(said["plan_key"]) == len(said["plan_sha256"]) == 64
    assert played.held == 0
    with pytest.raises(EngineError, match="closed"):
        engine.infer(images)
    engine.close()


def test_a_batch_that_cannot_be_built_is_halved(
    played: FakeDevice, version: ModelVersion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TensorrtLibrary, "refuses", lambda *_: False)
    build, tried = TensorrtNetwork.build, list[int]()

    def small(self: TensorrtNetwork, profiles: Sequence[Profile], *more: Any) -> BuildOutput:
        tried.append(profiles[0].most[0])
        if profiles[0].most[0] > most:
            raise EngineMemoryError("TensorRT could not build a plan: out of memory")
        return build(self, profiles, *more)

    monkeypatch.setattr(TensorrtNetwork, "build", small)
    most = 2
    with TensorrtEngine(version, plans=tmp_path / "plans", batch=8) as engine:
        assert engine.preferred_batch == 2
        images = np.ones((5, 1, 8, 8), np.float32)
        np.testing.assert_array_equal(engine.infer(images), 2 * images + 1)
    assert tried == [8, 4, 2]
    most = 0
    with pytest.raises(EngineMemoryError):
        TensorrtEngine(version, plans=tmp_path / "others", batch=2)
    assert played.held == 0


def test_changed_bytes_are_never_built(
    played: FakeDevice, version: ModelVersion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TensorrtLibrary, "refuses", lambda *_: False)
    version.onnx_path.write_bytes(convolutions(9).SerializeToString())
    with pytest.raises(ModelIntegrityError):
        TensorrtEngine(version, plans=tmp_path / "plans")


def test_tensorrt_for_rtx_does_not_run_on_hopper(
    played: FakeDevice, version: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    rtx = TensorrtLibrary("tensorrt_rtx", "1.7", None)
    monkeypatch.setattr(engine_module, "load_library", lambda: rtx)
    with pytest.raises(EngineUnavailableError, match="RTX does not run on NVIDIA H200"):
        build_tensorrt(version)


def test_other_precisions_are_unavailable(version: ModelVersion) -> None:
    with pytest.raises(EngineUnavailableError, match="f32, f16, int8, fp8, not in bf16"):
        build_tensorrt(version, "bf16")


def test_a_missing_library_is_said_with_the_line_that_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("model_store.engines.tensorrt.library.find_spec", lambda name: None)
    with pytest.raises(EngineUnavailableError, match=r"pip install 'dicom-node\[gpu\]'"):
        installed()


@pytest.mark.parametrize(
    ("module", "name"),
    [("tensorrt", "tensorrt"), ("tensorrt_rtx", "tensorrt_rtx"),
     ("tensorrt_rtx_bindings", "tensorrt_rtx")],
)  # fmt: skip
def test_the_full_library_is_preferred(
    monkeypatch: pytest.MonkeyPatch, module: str, name: str
) -> None:
    names = ("tensorrt", "tensorrt_rtx", "tensorrt_rtx_bindings")
    there = names[names.index(module) :]
    monkeypatch.setattr(
        "model_store.engines.tensorrt.library.find_spec",
        lambda asked: object() if asked in there else None,
    )
    monkeypatch.setitem(sys.modules, module, SimpleNamespace(__version__="9.9"))
    found = load_library()
    assert (found.name, found.version) == (name, "9.9")


def test_bindings_without_their_libraries_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(name: str) -> Any:
        raise ImportError("libnvonnxparser.so.11: cannot open shared object file")

    monkeypatch.setattr("model_store.engines.tensorrt.library.find_spec", lambda name: object())
    monkeypatch.setattr("model_store.engines.tensorrt.library.importlib.import_module", fails)
    with pytest.raises(EngineUnavailableError, match="libnvonnxparser"):
        load_library()


class Api:
    """Plays TensorRT's runtime: one engine whose contexts take what they are given."""

    def __init__(self, *, takes_plan: bool = True, runs: bool = True, says: str = "") -> None:
        api = self
        self.calls: list[tuple[Any, ...]] = []

        class ILogger:
            ERROR, INTERNAL_ERROR = 1, 0

        class Context:
            def __getattr__(self, name: str) -> Any:
                def call(*arguments: Any) -> Any:
                    api.calls.append((name, *arguments))
                    return {"update_device_memory_size_for_shapes": 640}.get(name, runs)

                return call

        class Engine:
            def create_execution_context(self, strategy: str) -> Context:
                api.calls.append(("context", strategy))
                return Context()

            def get_tensor_name(self, number: int) -> str:
                return ("image", "residual")[number]

        class Runtime:
            def __init__(self, log: Any) -> None:
                self.log = log

            def deserialize_cuda_engine(self, data: bytes) -> Engine | None:
                self.log.log(ILogger.ERROR, says)
                return Engine() if takes_plan else None

        self.ILogger, self.Runtime = ILogger, Runtime
        self.ExecutionContextAllocationStrategy = SimpleNamespace(USER_MANAGED="ours")


def program(version: ModelVersion, api: Api) -> TensorrtProgram:
    plan = Plan(None, b"plan", "0", "built")  # type: ignore[arg-type]
    return TensorrtProgram(TensorrtLibrary("tensorrt", "11.0", api), plan, version.ref)


def test_a_context_is_set_up_once_for_its_size_and_addresses(version: ModelVersion) -> None:
    api = Api()
    context = program(version, api).context(1, (4, 16, 12), 7)
    assert context.scratch_bytes == 640
    context.bind(100, 200, 300)
    context.enqueue(7)
    assert api.calls == [
        ("context", "ours"),
        ("set_optimization_profile_async", 1, 7),
        ("set_input_shape", "image", (4, 1, 16, 12)),
        ("update_device_memory_size_for_shapes",),
        ("set_device_memory", 300, 640),
        ("set_tensor_address", "image", 100),
        ("set_tensor_address", "residual", 200),
        ("execute_async_v3", 7),
    ]


def test_a_plan_that_tensorrt_does_not_take_is_said(version: ModelVersion) -> None:
    with pytest.raises(EngineError, match="does not accept its plan: wrong version"):
        program(version, Api(takes_plan=False, says="wrong version"))


def test_a_plan_that_memory_does_not_suffice_for_is_told_apart(version: ModelVersion) -> None:
    with pytest.raises(EngineMemoryError, match="out of memory"):
        program(version, Api(takes_plan=False, says="Cuda Runtime (out of memory)"))


def test_what_tensorrt_refuses_is_our_error(version: ModelVersion) -> None:
    with pytest.raises(EngineError, match="setting the size"):
        program(version, Api(runs=False)).context(0, (1, 8, 8), 7)

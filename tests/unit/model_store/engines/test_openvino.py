import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

from model_store.engines.base import Engine
from model_store.engines.openvino import OpenVinoEngine, supports
from model_store.errors import EngineError, EngineUnavailableError, ModelIntegrityError
from model_store.manifest import TilingSpec
from model_store.store import ModelVersion
from tests.support.factories.models import convolutions, model_version, small_unet


@pytest.fixture(params=["convolutions", "small_unet"])
def version(request: pytest.FixtureRequest, tmp_path: Path) -> ModelVersion:
    if request.param == "convolutions":
        return model_version(tmp_path)
    return model_version(tmp_path, network=small_unet(), tiling=TilingSpec(margin=6, stride=2))


def _images(*shape: int) -> np.ndarray:
    return np.random.default_rng(3).random(shape, dtype=np.float32)


@pytest.mark.parametrize("shape", [(1, 1, 16, 20), (3, 1, 8, 8), (1, 1, 2, 64), (1, 1, 64, 2)])
def test_it_computes_what_onnx_defines(version: ModelVersion, shape: tuple[int, ...]) -> None:
    images = _images(*shape)
    network = onnx.load_from_string(version.read())
    found: Any = ReferenceEvaluator(network).run(None, {"x": images})
    with OpenVinoEngine(version) as engine:
        np.testing.assert_allclose(engine.infer(images), found[0], atol=2e-6)


def test_one_engine_serves_many_sizes_and_keeps_earlier_results(version: ModelVersion) -> None:
    with OpenVinoEngine(version) as engine:
        first = engine.infer(_images(1, 1, 16, 16))
        kept = first.copy()
        engine.infer(_images(2, 1, 32, 8) + 1)
        np.testing.assert_array_equal(first, kept)
        np.testing.assert_array_equal(engine.infer(_images(1, 1, 16, 16)), kept)


def test_an_image_comes_out_the_same_alone_and_in_a_batch(version: ModelVersion) -> None:
    images = _images(3, 1, 32, 32)
    with OpenVinoEngine(version) as engine:
        together = engine.infer(images)
        for number in range(3):
            np.testing.assert_array_equal(
                engine.infer(images[number : number + 1])[0], together[number]
            )


def test_it_says_what_it_is(version: ModelVersion) -> None:
    with OpenVinoEngine(version, threads=1) as engine:
        said = engine.describe()
        assert (engine.name, engine.precision, engine.ref) == ("openvino", "f32", version.ref)
    assert said["sha256"] == version.ref.sha256
    assert said["threads"] == "1"
    assert said["device"]
    assert said["library"].startswith("20")


def test_bf16_only_where_the_processor_has_it(version: ModelVersion) -> None:
    if not supports("bf16"):
        with pytest.raises(EngineUnavailableError, match="bf16"):
            OpenVinoEngine(version, "bf16")
        return
    images = _images(1, 1, 32, 32)
    with OpenVinoEngine(version, "bf16") as fast, OpenVinoEngine(version) as exact:
        difference = np.abs(fast.infer(images) - exact.infer(images)).max()
    assert 0 < difference < 0.05


@pytest.mark.parametrize(
    "images",
    [np.zeros((1, 1, 8, 8)), np.zeros((8, 8), np.float32), np.zeros((1, 2, 8, 8), np.float32)],
)
def test_other_inputs_are_refused(version: ModelVersion, images: np.ndarray) -> None:
    with OpenVinoEngine(version) as engine, pytest.raises(EngineError, match="float32"):
        engine.infer(images)


def test_a_closed_engine_says_so(version: ModelVersion) -> None:
    engine: Engine = OpenVinoEngine(version)
    engine.close()
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        engine.infer(_images(1, 1, 8, 8))


def test_changed_bytes_are_never_loaded(version: ModelVersion) -> None:
    version.onnx_path.write_bytes(convolutions(9).SerializeToString())
    with pytest.raises(ModelIntegrityError):
        OpenVinoEngine(version)


@pytest.mark.parametrize("data", [b"", b"not onnx", b"\0" * 100])
def test_bytes_that_are_no_network_are_our_error(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(EngineError):
        OpenVinoEngine(model_version(tmp_path, network=data))


def test_a_network_of_one_fixed_size_is_refused(tmp_path: Path) -> None:
    network = convolutions()
    network.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 512
    with pytest.raises(EngineError, match="free N, H and W"):
        OpenVinoEngine(model_version(tmp_path, network=network))


_WATCH = """
import os, sys, time
from pathlib import Path
calls = []
sys.addaudithook(lambda event, args: calls.append(event) if event.startswith("socket.") else None)
import numpy as np
from model_store.engines.openvino import OpenVinoEngine
from model_store.store import ModelVersion
with OpenVinoEngine(ModelVersion.open(Path(sys.argv[1]))) as engine:
    engine.infer(np.zeros((1, 1, 8, 8), np.float32))
time.sleep(0.5)
print(sorted(set(calls)), sorted(os.listdir(os.environ["HOME"])))
"""


def test_it_opens_no_connection_and_leaves_nothing_in_the_home_folder(
    version: ModelVersion, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", _WATCH, str(version.folder)],
        env={"HOME": str(home), "PATH": "/usr/bin:/bin", "PYTHONPATH": str(Path.cwd())},
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert done.stdout.strip() == "[] []"


def test_openvino_with_its_telemetry_is_refused() -> None:
    code = (
        "import sys, types; sys.modules['openvino_telemetry'] = types.ModuleType('x')\n"
        "from model_store.engines.openvino import load_openvino\n"
        "from model_store.errors import EngineUnavailableError\n"
        "try: load_openvino()\n"
        "except EngineUnavailableError as error: print('refused')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "refused"

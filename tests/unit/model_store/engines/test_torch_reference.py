import hashlib
from pathlib import Path

import numpy as np
import pytest

from model_store.engines.select import build_engine
from model_store.errors import EngineError, EngineUnavailableError, ModelIntegrityError
from model_store.registry import ModelVersion
from tests.factories.models import convolutions, model_version

torch = pytest.importorskip("torch")
safetensors = pytest.importorskip("safetensors.torch")
build = pytest.importorskip("model_store.generators.build")


def _with_weights(root: Path, data: bytes, **changes: object) -> ModelVersion:
    network = convolutions().SerializeToString()
    version = model_version(
        root, network=network,
        files={"model.onnx": hashlib.sha256(network).hexdigest(),
               "weights.safetensors": hashlib.sha256(data).hexdigest()},
        **changes,
    )  # fmt: skip
    (version.folder / "weights.safetensors").write_bytes(data)
    return version


@pytest.mark.parametrize("output", ["image", "residual"])
def test_it_runs_the_generator_with_the_released_weights(tmp_path: Path, output: str) -> None:
    torch.manual_seed(0)
    generator = build.build_drl(width=4).eval()
    torch.nn.init.normal_(generator.conv7.weight)
    data = safetensors.save(generator.state_dict(), metadata={"width": "4"})
    images = np.random.default_rng(0).random((2, 1, 9, 11), dtype=np.float32)
    with build_engine(
        _with_weights(tmp_path, data, system="drl", output=output), "torch"
    ) as engine:
        got = engine.infer(images)
        assert engine.describe()["engine"] == "torch"
    x = torch.from_numpy(images)
    with torch.no_grad():
        expected = generator(x) if output == "image" else generator.residual(x)
    np.testing.assert_allclose(got, expected.numpy(), atol=1e-6)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    data = safetensors.save({"a": torch.zeros(1)})
    with pytest.raises(ModelIntegrityError, match="do not fit"):
        build_engine(_with_weights(tmp_path, data, system="drl"), "torch")


def test_a_version_without_weights_says_so(tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailableError, match="safetensors"):
        build_engine(model_version(tmp_path, system="drl"), "torch")


def test_a_system_without_generator_says_so(tmp_path: Path) -> None:
    data = safetensors.save({"a": torch.zeros(1)})
    with pytest.raises(EngineError, match="no generator"):
        build_engine(_with_weights(tmp_path, data), "torch")

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model_store.engines.select import build_engine
from model_store.errors import EngineError, EngineUnavailableError, ModelIntegrityError
from model_store.store import ModelVersion
from tests.support.factories.models import convolutions, model_version

torch = pytest.importorskip("torch")
safetensors = pytest.importorskip("safetensors.torch")
drl = pytest.importorskip("model_store.generators.drl")

_RECIPE = '[generator]\nsystem = "drl"\nwidth = 4\n'


def _with_weights(
    root: Path, data: bytes, recipe: str | None = _RECIPE, **changes: Any
) -> ModelVersion:
    """A version with `data` as its weights and `recipe` beside them."""
    network = convolutions().SerializeToString()
    beside = {"weights.safetensors": data}
    if recipe is not None:
        beside["recipe.toml"] = recipe.encode()
    everything = {"model.onnx": network, **beside}
    files = {name: hashlib.sha256(held).hexdigest() for name, held in everything.items()}
    values: dict[str, Any] = {"system": "drl", "files": files, **changes}
    version = model_version(root, network=network, **values)
    for name, held in beside.items():
        (version.folder / name).write_bytes(held)
    return version


@pytest.mark.parametrize("output", ["image", "residual"])
def test_it_runs_the_generator_with_the_released_weights(tmp_path: Path, output: str) -> None:
    torch.manual_seed(0)
    generator = drl.Drl(drl.DrlConfig(width=4)).eval()
    torch.nn.init.normal_(generator.conv7.weight)
    data = safetensors.save(generator.state_dict())
    images = np.random.default_rng(0).random((2, 1, 9, 11), dtype=np.float32)
    with build_engine(_with_weights(tmp_path, data, output=output), "torch") as engine:
        got = engine.infer(images)
        assert engine.describe()["engine"] == "torch"
    x = torch.from_numpy(images)
    with torch.no_grad():
        expected = generator(x) if output == "image" else generator.residual(x)
    np.testing.assert_allclose(got, expected.numpy(), atol=1e-6)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    data = safetensors.save({"a": torch.zeros(1)})
    with pytest.raises(ModelIntegrityError, match="do not fit"):
        build_engine(_with_weights(tmp_path, data), "torch")


def test_a_version_without_weights_says_so(tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailableError, match="safetensors"):
        build_engine(model_version(tmp_path, system="drl"), "torch")


def test_a_version_without_recipe_says_so(tmp_path: Path) -> None:
    data = safetensors.save({"a": torch.zeros(1)})
    with pytest.raises(EngineUnavailableError, match=r"no recipe\.toml"):
        build_engine(_with_weights(tmp_path, data, recipe=None), "torch")


@pytest.mark.parametrize(
    ("recipe", "found"),
    [
        ('[generator]\nsystem = "abacus"\n', "abacus"),
        ('[generator]\nsystem = "drl"\ndepth = 4\n', r"generator\.drl\.depth"),
        ("[training]\n", "generator"),
        ("[generator", "not TOML"),
    ],
)
def test_a_recipe_without_a_generator_says_so(tmp_path: Path, recipe: str, found: str) -> None:
    data = safetensors.save({"a": torch.zeros(1)})
    with pytest.raises(EngineError, match=f"no generator.*{found}"):
        build_engine(_with_weights(tmp_path, data, recipe), "torch")


def test_a_recipe_of_another_system_than_the_manifest_is_refused(tmp_path: Path) -> None:
    data = safetensors.save({"a": torch.zeros(1)})
    with pytest.raises(ModelIntegrityError, match="system drl, the manifest of cnn10"):
        build_engine(_with_weights(tmp_path, data, system="cnn10"), "torch")

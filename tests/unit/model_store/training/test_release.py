import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from safetensors.torch import save
from typer.testing import CliRunner

from model_store.cli import app
from model_store.engines.golden import GOLDEN, golden_images, golden_outputs
from model_store.errors import EngineUnavailableError, ExportError, ModelIntegrityError
from model_store.generators.drl import Drl, DrlConfig
from model_store.store import ModelVersion
from model_store.training.recipe_file import dump_toml
from model_store.training.release import add_golden, write_physics
from model_store.trust.key import PrivateKey
from model_store.trust.signature import sign
from tests.support.factories.models import convolutions, model_version
from tests.unit.model_store.evaluation.recipes import CT, recipe


@pytest.fixture
def generator() -> Drl:
    torch.manual_seed(0)
    made = Drl(DrlConfig(width=4)).eval()
    torch.nn.init.normal_(made.conv7.weight)
    return made


@pytest.fixture
def folder(tmp_path: Path, generator: Drl) -> Path:
    """A version as it was exported before there were golden outputs."""
    content = recipe("toy-ct", "drl", CT).model_dump(mode="json", exclude_none=True)
    content["generator"] = {"system": "drl", "width": 4}
    held = {
        "model.onnx": convolutions().SerializeToString(),
        "weights.safetensors": save(generator.state_dict()),
        "recipe.toml": dump_toml(content).encode(),
        "card.md": b"# toy-ct\n",
    }
    files = {name: hashlib.sha256(data).hexdigest() for name, data in held.items()}
    version = model_version(tmp_path, network=held["model.onnx"], system="drl", files=files)
    for name, data in held.items():
        (version.folder / name).write_bytes(data)
    return version.folder


def test_golden_outputs_are_those_of_torch(folder: Path, generator: Drl) -> None:
    assert add_golden(folder)
    version = ModelVersion.open(folder)
    version.verify()
    golden = golden_outputs(version)
    assert golden is not None
    np.testing.assert_array_equal(golden.images, golden_images(version.manifest))
    with torch.no_grad():
        expected = generator.residual(torch.from_numpy(golden.images[1:2])).numpy()
    np.testing.assert_allclose(golden.outputs[1:2], expected, atol=1e-6)


def test_nothing_else_of_the_manifest_changes(folder: Path) -> None:
    path = folder / "manifest.json"
    older = json.loads(path.read_text())
    del older["validity"]
    older["metrics"] = {"headline": {"a": 0.1, "ü": 1e-07}}
    path.write_text(json.dumps(older, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    add_golden(folder)
    newer = json.loads(path.read_text(encoding="utf-8"))
    assert list(newer["files"]) == [*older["files"], GOLDEN]
    newer["files"].pop(GOLDEN)
    assert newer == older
    assert {file.name for file in folder.iterdir()} == {*older["files"], GOLDEN, path.name}


def test_golden_outputs_are_added_once(folder: Path) -> None:
    add_golden(folder)
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    assert not add_golden(folder)
    assert before == {file.name: file.read_bytes() for file in folder.iterdir()}


def test_later_measurements_keep_them(folder: Path) -> None:
    add_golden(folder)
    write_physics(folder, {"strength": 0.5})
    version = ModelVersion.open(folder)
    version.verify()
    assert version.manifest.strength == 0.5, "routes that state none take what was measured"
    assert golden_outputs(version) is not None


def test_a_signed_version_is_refused(folder: Path) -> None:
    key = PrivateKey(Ed25519PrivateKey.from_private_bytes(bytes(32)))
    sign(ModelVersion.open(folder), key)
    before = (folder / "manifest.json").read_bytes()
    with pytest.raises(ExportError, match="new version"):
        add_golden(folder)
    assert (folder / "manifest.json").read_bytes() == before
    assert not (folder / GOLDEN).exists()


def test_a_changed_version_is_refused(folder: Path) -> None:
    (folder / "card.md").write_text("better")
    with pytest.raises(ModelIntegrityError, match=r"card\.md"):
        add_golden(folder)


def test_a_version_that_torch_cannot_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailableError, match="safetensors"):
        add_golden(model_version(tmp_path).folder)


def test_the_command_says_what_it_did(folder: Path) -> None:
    zoo = ["--zoo", str(folder.parents[1])]
    for said in ("has golden outputs now", "had golden outputs already"):
        done = CliRunner().invoke(app, ["golden", "toy-ct@1.0.0", *zoo])
        assert done.exit_code == 0, done.output
        assert said in done.output
    done = CliRunner().invoke(app, ["golden", "absent@1.0.0", *zoo])
    assert done.exit_code == 1
    assert "UnknownModelError" in done.output

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

import model_store
from model_store.export import export_onnx
from model_store.generators.base import tensors
from model_store.graph import check_graph
from model_store.hashing import file_sha256
from model_store.manifest import Manifest
from model_store.store import ModelVersion
from model_store.training.recipe import Recipe
from model_store.training.run import build_generator
from model_store.weights import trained_weights
from tests.unit.model_store.generators.networks import SMALL, generator

ZOO = Path(model_store.__file__).parent / "zoo"
RELEASED = sorted(path.parent for path in ZOO.glob("*/*/manifest.json"))


def _version(folder: Path) -> str:
    return f"{folder.parent.name}@{folder.name}"


@pytest.mark.parametrize(
    "name",
    [
        "dngan",
        "n2n-unet-residual",
        "sharpxr-dual",
        "wgan-vgg-residual",
        "drl",
        "drl-cascade-3-stacked",
        "cnn10",
        "drunet",
        "drunet-folded",
    ],
)
def test_export_has_free_sizes_no_batch_norm_and_its_weights_inside(
    name: str, tmp_path: Path
) -> None:
    torch.manual_seed(2)
    network = generator(**SMALL[name]).eval()
    for parameter in network.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)
    with torch.no_grad():
        assert network.residual(torch.randn(1, 1, 32, 32)).std() > 0.05
    assert export_onnx(network, tmp_path / "model.onnx") <= 1e-4
    check_graph((tmp_path / "model.onnx").read_bytes())
    graph = onnx.load(tmp_path / "model.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]
    assert max(entry.version for entry in graph.opset_import) <= 20
    assert "BatchNormalization" not in {node.op_type for node in graph.graph.node}
    dimensions = graph.graph.input[0].type.tensor_type.shape.dim
    assert [bool(dimension.dim_param) for dimension in dimensions] == [True, False, True, True]


def test_the_zoo_holds_a_ct_and_an_xray_model() -> None:
    assert {"drl-ct", "drunet-ct", "n2n-unet-xray"} <= {folder.parent.name for folder in RELEASED}


@pytest.mark.parametrize("folder", RELEASED, ids=_version)
def test_released_files_are_the_ones_that_were_released(folder: Path) -> None:
    manifest = Manifest.read(folder / "manifest.json")
    assert (manifest.name, manifest.version) == (folder.parent.name, folder.name)
    assert {path.name for path in folder.iterdir()} == {"manifest.json", *manifest.files}
    for name, expected in manifest.files.items():
        assert file_sha256(folder / name) == expected, name


@pytest.mark.parametrize("folder", RELEASED, ids=_version)
def test_released_graph_equals_its_weights_in_torch(folder: Path) -> None:
    generator = build_generator(Recipe.read(folder / "recipe.toml"))
    generator.load_state_dict(tensors(trained_weights(ModelVersion.open(folder))))
    generator.eval()
    session = onnxruntime.InferenceSession(
        folder / "model.onnx", providers=["CPUExecutionProvider"]
    )
    x = torch.rand(1, 1, 96, 128, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        expected = generator.residual(x).numpy()
    (got,) = session.run(None, {"image": x.numpy()})
    assert np.abs(got - expected).max() <= 1e-4
    assert np.abs(expected).max() > 0


@pytest.mark.parametrize("folder", RELEASED, ids=_version)
def test_released_model_reduces_noise_of_a_flat_image(folder: Path) -> None:
    manifest = Manifest.read(folder / "manifest.json")
    session = onnxruntime.InferenceSession(
        folder / "model.onnx", providers=["CPUExecutionProvider"]
    )
    level, value = (20.0, 40.0) if manifest.input.units == "HU" else (0.03, 0.5)
    noise = np.random.default_rng(6).normal(0, level, (1, 1, 128, 128)).astype(np.float32)
    noisy = (value + noise + manifest.input.offset) / np.float32(manifest.input.scale)
    (change,) = session.run(None, {"image": noisy.astype(np.float32)})
    left = noise + change * manifest.input.scale
    assert left[..., 32:-32, 32:-32].std() < 0.5 * level

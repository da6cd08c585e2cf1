"""The weights of a version stand once, and every reader finds them."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import model_store
from model_store.errors import EngineUnavailableError, GraphError, ModelIntegrityError
from model_store.export import export_onnx
from model_store.generators.base import tensors
from model_store.store import ModelVersion
from model_store.weights import WEIGHTS, same_weights, trained_weights, weights_in_graph
from tests.support.factories.models import convolutions, model_version
from tests.unit.model_store.generators.networks import SMALL, generator

ZOO = Path(model_store.__file__).parent / "zoo"
RELEASED = sorted(path.parent for path in ZOO.glob("*/*/manifest.json"))


@pytest.mark.parametrize(
    "folder", RELEASED, ids=lambda folder: f"{folder.parent.name}-{folder.name}"
)
def test_no_released_version_has_the_same_weights_twice(folder: Path) -> None:
    version = ModelVersion.open(folder)
    if WEIGHTS in version.manifest.files:
        assert not same_weights(trained_weights(version), weights_in_graph(version.read()))


@pytest.mark.parametrize("name", sorted(SMALL))
def test_a_graph_holds_the_weights_unless_a_norm_was_folded_into_them(
    name: str, tmp_path: Path
) -> None:
    torch.manual_seed(1)
    network = generator(**SMALL[name])
    folded = any(isinstance(layer, nn.BatchNorm2d) for layer in network.modules())
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.02)  # equal tensors would be exported as one
    trained = {key: value.numpy().copy() for key, value in network.state_dict().items()}
    export_onnx(network, tmp_path / "model.onnx")
    held = weights_in_graph((tmp_path / "model.onnx").read_bytes())
    assert same_weights(trained, held) is not folded
    if not folded:
        again = generator(**SMALL[name])
        again.load_state_dict(tensors(held))


@pytest.mark.parametrize(
    "other",
    [
        {},
        {"a": np.ones((2, 2), np.float32), "b": np.ones(1, np.float32)},
        {"a": np.ones((4,), np.float32)},
        {"a": np.ones((2, 2), np.float64)},
        {"a": np.array([[1, 1], [1, np.nextafter(1, 2, dtype=np.float32)]], np.float32)},
    ],
)
def test_weights_are_the_same_to_the_last_bit_or_not(other: dict[str, np.ndarray]) -> None:
    one = {"a": np.ones((2, 2), np.float32)}
    assert same_weights(one, {"a": one["a"].copy()})
    assert not same_weights(one, other)


def test_a_graph_without_a_generators_names_is_no_source_of_weights(tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailableError, match=WEIGHTS):
        trained_weights(model_version(tmp_path))


def test_what_is_no_graph_says_so() -> None:
    with pytest.raises(GraphError, match="not an ONNX file"):
        weights_in_graph(b"none")


def test_damaged_weights_name_their_file(tmp_path: Path) -> None:
    held = {"model.onnx": convolutions().SerializeToString(), WEIGHTS: b"none"}
    files = {name: hashlib.sha256(data).hexdigest() for name, data in held.items()}
    version = model_version(tmp_path, network=held["model.onnx"], files=files)
    (version.folder / WEIGHTS).write_bytes(b"none")
    with pytest.raises(ModelIntegrityError, match=f"{WEIGHTS} is damaged"):
        trained_weights(version)

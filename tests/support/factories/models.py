"""Small model versions with random weights, for tests that need an engine but not quality."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from model_store.manifest import InputSpec, Manifest, TilingSpec, TrainedNoise
from model_store.store import ModelVersion

HU = InputSpec(units="HU", offset=1024.0, scale=4096.0, minimum=-1024.0, maximum=3071.0)
STORED = InputSpec(units="stored", minimum=0.0, maximum=1.0)


def convolutions(seed: int = 0, amplitude: float = 0.05) -> onnx.ModelProto:
    """Two 3x3 convolutions with a ReLU between; margin 2, stride 1."""
    rng = np.random.default_rng(seed)
    first = rng.standard_normal((8, 1, 3, 3)).astype(np.float32)
    last = (rng.standard_normal((1, 8, 3, 3)) * amplitude).astype(np.float32)
    nodes = [_conv("x", "w0", "a"), helper.make_node("Relu", ["a"], ["b"]), _conv("b", "w1", "y")]
    return _model(nodes, {"w0": first, "w1": last})


def small_unet(seed: int = 0, amplitude: float = 0.05) -> onnx.ModelProto:
    """A U-Net of one level; stride 2, margin 6 suffices."""
    rng = np.random.default_rng(seed)
    weights = {
        "w0": rng.standard_normal((4, 1, 3, 3)).astype(np.float32),
        "w1": rng.standard_normal((4, 4, 3, 3)).astype(np.float32) * 0.3,
        "w2": rng.standard_normal((1, 5, 3, 3)).astype(np.float32) * np.float32(amplitude),
        "scales": np.array([1, 1, 2, 2], np.float32),
    }
    nodes = [
        _conv("x", "w0", "a"),
        helper.make_node("LeakyRelu", ["a"], ["b"], alpha=0.1),
        helper.make_node("MaxPool", ["b"], ["c"], kernel_shape=[2, 2], strides=[2, 2]),
        _conv("c", "w1", "d"),
        helper.make_node("Resize", ["d", "", "scales"], ["e"], mode="nearest",
                         coordinate_transformation_mode="asymmetric", nearest_mode="floor"),
        helper.make_node("Concat", ["e", "x"], ["f"], axis=1),
        _conv("f", "w2", "y"),
    ]  # fmt: skip
    return _model(nodes, weights)


def smoothing() -> onnx.ModelProto:
    """One 3x3 convolution: the mean of the neighbours, weighted 1 2 1 by 1 2 1, less the pixel.

    Its weights are sixteenths, so that in float32 the result is exact, in whatever order an engine
    adds. Margin 1, stride 1.
    """
    once = np.array([1, 2, 1], np.float32) / 4
    kernel = np.outer(once, once)[np.newaxis, np.newaxis]
    kernel[0, 0, 1, 1] -= 1
    return _model([_conv("x", "w0", "y")], {"w0": kernel})


def wide_unet(seed: int = 0, width: int = 16) -> onnx.ModelProto:
    """Wide enough for 8 bits: of its six weighted layers the second, third and fifth; stride 2."""
    rng = np.random.default_rng(seed)

    def weights(*shape: int) -> Any:
        return rng.standard_normal(shape).astype(np.float32) / np.float32(3 * shape[0] ** 0.5)

    nodes = [
        _conv("x", "w0", "a"),
        helper.make_node("Relu", ["a"], ["b"]),
        _conv("b", "w1", "c"),
        helper.make_node("MaxPool", ["c"], ["d"], kernel_shape=[2, 2], strides=[2, 2]),
        _conv("d", "w2", "e"),
        helper.make_node("ConvTranspose", ["e", "w3"], ["f"], strides=[2, 2]),
        helper.make_node("Concat", ["f", "b"], ["g"], axis=1),
        _conv("g", "w4", "h"),
        _conv("h", "w5", "y"),
    ]
    held = {
        "w0": weights(width, 1, 3, 3), "w1": weights(width, width, 3, 3),
        "w2": weights(width, width, 3, 3), "w3": weights(width, width, 2, 2),
        "w4": weights(width, 2 * width, 3, 3), "w5": weights(1, width, 3, 3),
    }  # fmt: skip
    return _model(nodes, held)


def model_version(
    root: Path,
    name: str = "toy-ct",
    version: str = "1.0.0",
    *,
    network: onnx.ModelProto | bytes | None = None,
    input_spec: InputSpec = HU,
    tiling: TilingSpec | None = None,
    **changes: Any,
) -> ModelVersion:
    """Write ``root/name/version`` with its manifest and ONNX file, and open it."""
    folder = root / name / version
    folder.mkdir(parents=True)
    network = network if network is not None else convolutions()
    data = network if isinstance(network, bytes) else network.SerializeToString()
    (folder / "model.onnx").write_bytes(data)
    values: dict[str, Any] = {
        "name": name,
        "version": version,
        "system": "other",
        "modality": ("CT",) if input_spec.units == "HU" else ("DX", "CR"),
        "input": input_spec,
        "output": "residual",
        "tiling": tiling or TilingSpec(margin=2, stride=1),
        "trained_noise": TrainedNoise(minimum_sd=0, maximum_sd=0.01, description="none"),
        "files": {"model.onnx": hashlib.sha256(data).hexdigest()},
        "parameters": 0,
        "macs_per_pixel": 0,
        "intended_use": "tests",
        "training_data": "none",
        "licence": "Apache-2.0",
    }
    Manifest(**{**values, **changes}).write(folder / "manifest.json")
    return ModelVersion.open(folder)


def _conv(source: str, weight: str, target: str) -> onnx.NodeProto:
    return helper.make_node("Conv", [source, weight], [target], pads=[1, 1, 1, 1])


def _model(nodes: list[onnx.NodeProto], weights: dict[str, Any]) -> onnx.ModelProto:
    free: list[str | int | None] = ["n", 1, "h", "w"]
    graph = helper.make_graph(
        nodes,
        "toy",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, free)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, free)],
        [numpy_helper.from_array(array, key) for key, array in weights.items()],
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10, producer_name="tests"
    )
    onnx.checker.check_model(model)
    return model


def drl_version(root: Path) -> ModelVersion:
    """A version with the weights and recipe of a small DRL, for the torch reference."""
    torch = pytest.importorskip("torch")
    safetensors = pytest.importorskip("safetensors.torch")
    drl = pytest.importorskip("model_store.generators.drl")
    torch.manual_seed(0)
    held = {
        "model.onnx": convolutions().SerializeToString(),
        "weights.safetensors": safetensors.save(drl.Drl(drl.DrlConfig(width=4)).state_dict()),
        "recipe.toml": b'[generator]\nsystem = "drl"\nwidth = 4\n',
    }
    files = {name: hashlib.sha256(data).hexdigest() for name, data in held.items()}
    version = model_version(root, network=held["model.onnx"], system="drl", files=files)
    for name, data in held.items():
        (version.folder / name).write_bytes(data)
    return version

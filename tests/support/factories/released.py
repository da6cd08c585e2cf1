"""Model versions as a releaser hands them out: golden outputs, metrics, a signature."""

from __future__ import annotations

import hashlib
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from model_store.engines.golden import GOLDEN, Golden, golden_images
from model_store.engines.onnxruntime import OnnxRuntimeEngine
from model_store.store import ModelVersion
from model_store.trust.key import PrivateKey, generate
from model_store.trust.signature import sign
from tests.support.factories.models import convolutions, model_version

GAINS = {
    "headline": {
        "noise of 10 HU": {"metric": "PSNR", "input": 33.0, "model": 35.0},
        "noise of 25 HU": {"metric": "PSNR", "input": 25.0, "model": 31.0},
    }
}
_SIDE = 64


def released(
    root: Path,
    name: str = "toy-ct",
    version: str = "1.0.0",
    *,
    beside: float = 0.0,
    key: PrivateKey | None = None,
    **changes: Any,
) -> ModelVersion:
    """Write a version with golden outputs that are `beside` (HU or twelve-bit grey) off in a pixel.

    With `key` it is signed.
    """
    values: dict[str, Any] = {"metrics": GAINS, "network": convolutions(amplitude=0.0005)} | changes
    made = model_version(root, name, version, **values)
    manifest = made.manifest
    images = np.ascontiguousarray(golden_images(manifest)[..., :_SIDE, :_SIDE])
    with OnnxRuntimeEngine(made, threads=1) as engine:
        outputs = engine.infer(images)
    unit = manifest.input.scale if manifest.input.units == "HU" else 4095.0
    outputs[0, 0, 5, 7] += np.float32(beside / unit)
    data = Golden(images, outputs).encode()
    (made.folder / GOLDEN).write_bytes(data)
    files = {**manifest.files, GOLDEN: hashlib.sha256(data).hexdigest()}
    manifest.model_copy(update={"files": files}).write(made.folder / "manifest.json")
    made = ModelVersion.open(made.folder)
    if key is not None:
        sign(made, key)
    return made


def key_pair(folder: Path, name: str = "vendor") -> PrivateKey:
    """Make ``NAME.key`` and ``NAME.pub`` in `folder`; the private one is returned."""
    folder.mkdir(parents=True, exist_ok=True)
    generate(name, folder, f"{name.title()}, tests", date(2026, 1, 1), None)
    return PrivateKey.read(folder / f"{name}.key", None)

"""TensorRT: not built yet, and it says so."""

from __future__ import annotations

from importlib.util import find_spec

from model_store.engines.base import Engine
from model_store.errors import EngineUnavailableError
from model_store.registry import ModelVersion


def build_tensorrt(version: ModelVersion, precision: str = "f32") -> Engine:
    """Refuse, with the reason.

    Raises
    ------
    EngineUnavailableError
        Always in this release.
    """
    if find_spec("tensorrt") is None:
        raise EngineUnavailableError(
            f"TensorRT for {version.ref} is not installed: pip install 'dicom-node[gpu]'"
        )
    raise EngineUnavailableError(
        f"this release cannot build a TensorRT engine for {version.ref} ({precision}) yet"
    )

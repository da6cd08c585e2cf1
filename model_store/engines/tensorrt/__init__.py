"""TensorRT: a model version as a plan that was built on the GPU it runs on."""

from __future__ import annotations

from model_store.engines.tensorrt.engine import TensorrtEngine, build_tensorrt

__all__ = ["TensorrtEngine", "build_tensorrt"]

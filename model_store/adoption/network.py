"""A foreign network on ONNX Runtime, before there is a manifest of it."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from model_store.engines.base import Images
from model_store.errors import EngineError, EngineUnavailableError

_SILENT = 4


class Network:
    """An ONNX file in memory that can be run.

    Parameters
    ----------
    data : bytes
        A file that `model_store.graph.check_graph` let pass.
    threads : int
        Processor threads; 0 leaves the choice to ONNX Runtime.

    Raises
    ------
    EngineUnavailableError
        If ONNX Runtime is not installed.
    EngineError
        If it cannot load the file.
    """

    def __init__(self, data: bytes, threads: int = 0) -> None:
        try:
            onnxruntime = importlib.import_module("onnxruntime")
        except ImportError as error:
            raise EngineUnavailableError(
                "adopting a network needs ONNX Runtime: pip install 'dicom-node[onnxruntime]'"
            ) from error
        options = onnxruntime.SessionOptions()
        options.log_severity_level = _SILENT  # sizes that it does not take are tried on purpose
        options.intra_op_num_threads = threads
        state = importlib.import_module("onnxruntime.capi.onnxruntime_pybind11_state")
        self._errors: tuple[type[Exception], ...] = (
            RuntimeError, MemoryError, ValueError, state.Fail, state.InvalidArgument,
            state.InvalidGraph, state.InvalidProtobuf, state.RuntimeException, state.NotImplemented,
        )  # fmt: skip
        self.library = f"onnxruntime {onnxruntime.__version__}"
        try:
            self._session: Any = onnxruntime.InferenceSession(
                data, options, providers=["CPUExecutionProvider"]
            )
        except self._errors as error:
            line = str(error).strip().splitlines() or [""]
            raise EngineError(f"ONNX Runtime cannot load it: {line[0][:300]}") from error
        self._input = self._session.get_inputs()[0].name

    def run(self, images: Images) -> Images:
        """Run it on ``[N, 1, H, W]``.

        Raises
        ------
        EngineError
            If it does not take that size, or fails.
        """
        try:
            (made,) = self._session.run(None, {self._input: np.ascontiguousarray(images)})
        except self._errors as error:
            line = str(error).strip().splitlines() or [""]
            raise EngineError(f"ONNX Runtime cannot run it: {line[0][:300]}") from error
        return np.asarray(made, dtype=np.float32)

    def takes(self, *shape: int) -> bool:
        """Whether an image of that shape goes through and keeps it."""
        image = np.linspace(0, 1, int(np.prod(shape)), dtype=np.float32).reshape(shape)
        try:
            return self.run(image).shape == shape
        except EngineError:
            return False

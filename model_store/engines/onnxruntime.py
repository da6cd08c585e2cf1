"""ONNX Runtime on the processor: an independent second opinion."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from model_store.engines.base import Engine, Images, engine_error
from model_store.errors import EngineError, EngineUnavailableError
from model_store.store import ModelVersion

_ERROR, _FATAL = 3, 4
"""Severities below which ONNX Runtime prints nothing."""


class OnnxRuntime:
    """ONNX Runtime as it is installed.

    Attributes
    ----------
    version : str
        Of the library.
    errors : tuple of type
        What loading and running a graph may raise.

    Raises
    ------
    EngineUnavailableError
        If it is not installed.
    """

    def __init__(self) -> None:
        try:
            self._module = importlib.import_module("onnxruntime")
        except ImportError as error:
            raise EngineUnavailableError(
                "ONNX Runtime is not installed: pip install 'dicom-node[onnxruntime]'"
            ) from error
        state = importlib.import_module("onnxruntime.capi.onnxruntime_pybind11_state")
        self.version = str(self._module.__version__)
        self.errors: tuple[type[Exception], ...] = (
            RuntimeError, MemoryError, ValueError, state.Fail, state.InvalidArgument,
            state.InvalidGraph, state.InvalidProtobuf, state.RuntimeException, state.NotImplemented,
        )  # fmt: skip

    def session(self, data: bytes, threads: int, *, quiet: bool = False) -> Any:
        """A graph on the processor; 0 threads leave their number to the library.

        With `quiet` nothing is printed of what it cannot run, which is raised in any case.
        """
        options = self._module.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = _FATAL if quiet else _ERROR
        return self._module.InferenceSession(data, options, providers=["CPUExecutionProvider"])


class OnnxRuntimeEngine(Engine):
    """A model version run by ONNX Runtime in f32.

    Parameters
    ----------
    version : ModelVersion
        Its ONNX bytes are read and verified here.
    threads : int
        Threads of one call; 0 leaves it to ONNX Runtime.

    Raises
    ------
    EngineUnavailableError
        If ONNX Runtime is not installed.
    ModelIntegrityError
        If the ONNX file is not the released one.
    EngineError
        If ONNX Runtime cannot load it.
    """

    def __init__(self, version: ModelVersion, threads: int = 0) -> None:
        library = OnnxRuntime()
        super().__init__(version.ref, name="onnxruntime", precision="f32", device="CPU")
        self._threads = threads
        self._errors, self._library = library.errors, library.version
        try:
            self._session: Any = library.session(version.read(), threads)
        except self._errors as error:
            raise engine_error(version.ref, "loading", error) from error
        self._input = self._session.get_inputs()[0].name

    def _run(self, images: Images) -> Images:
        if self._session is None:
            raise EngineError(f"the engine of {self.ref} was closed")
        try:
            (output,) = self._session.run(None, {self._input: images})
        except self._errors as error:
            raise engine_error(self.ref, "running", error) from error
        return np.asarray(output, dtype=np.float32)

    def close(self) -> None:
        """Free the session; closing twice is harmless."""
        self._session = None

    def describe(self) -> dict[str, str]:
        """Add the library's version and the threads that were set, 0 for its own choice."""
        return {**super().describe(), "library": self._library, "threads": str(self._threads)}

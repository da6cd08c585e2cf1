"""A foreign network on ONNX Runtime, before there is a manifest of it."""

from __future__ import annotations

from typing import Any

import numpy as np

from model_store.engines.base import Images
from model_store.engines.onnxruntime import OnnxRuntime
from model_store.errors import EngineError, EngineUnavailableError


class ForeignNetwork:
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
            library = OnnxRuntime()
        except EngineUnavailableError as error:
            raise EngineUnavailableError(f"adopting a network needs it: {error}") from error
        self._errors, self.library = library.errors, f"onnxruntime {library.version}"
        try:
            # sizes that it does not take are tried on purpose
            self._session: Any = library.session(data, threads, quiet=True)
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

"""Which TensorRT is installed: the full one, or TensorRT for RTX, which has the same interface."""

from __future__ import annotations

import importlib
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any, Final

from model_store.errors import EngineUnavailableError

INSTALL: Final = "pip install 'dicom-node[gpu]'"
_NAMES: Final = ("tensorrt", "tensorrt_rtx", "tensorrt_rtx_bindings")
_RUNTIMES: Final = (
    "nvidia-cuda-runtime", "nvidia-cuda-runtime-cu13", "nvidia-cuda-runtime-cu12",
)  # fmt: skip
_RTX_REFUSES: Final = frozenset({(9, 0)})


@dataclass(frozen=True, slots=True)
class TensorrtLibrary:
    """A TensorRT that can be imported here.

    Parameters
    ----------
    name : str
        ``tensorrt``, or ``tensorrt_rtx`` for TensorRT for RTX.
    version : str
        Its full version.
    api : module
        The imported module.
    """

    name: str
    version: str
    api: Any

    @property
    def cuda_runtime(self) -> str:
        """Version of the installed CUDA runtime package; empty where there is none."""
        for name in _RUNTIMES:
            with suppress(PackageNotFoundError):
                return version(name)
        return ""

    @property
    def keeps_timings(self) -> bool:
        """Whether kernels are timed on the device; TensorRT for RTX picks them when it runs."""
        return self.name == "tensorrt"

    def refuses(self, capability: tuple[int, int]) -> bool:
        """Whether no plan can be built for a device of this compute capability."""
        return not self.keeps_timings and capability in _RTX_REFUSES

    def log(self) -> Any:
        """A new TensorRT logger, which keeps the errors and drops the rest.

        Its ``said()`` gives the kept lines as one text.
        """
        severity, kept = self.api.ILogger, list[str]()

        class Log(severity):  # type: ignore[misc, valid-type]
            def __init__(self) -> None:
                severity.__init__(self)

            def log(self, level: Any, message: str) -> None:
                if level in (severity.ERROR, severity.INTERNAL_ERROR):
                    kept.append(message.strip())

            def said(self) -> str:
                return "; ".join(kept[:3]) or "no reason given"

        return Log()


def installed() -> str:
    """Name of the TensorRT module that can be imported; nothing is imported.

    Raises
    ------
    EngineUnavailableError
        If there is none; the message has the line that installs it.
    """
    for name in _NAMES:
        if find_spec(name) is not None:
            return name
    raise EngineUnavailableError(f"TensorRT is not installed: {INSTALL}")


def load_library() -> TensorrtLibrary:
    """Import TensorRT.

    Raises
    ------
    EngineUnavailableError
        If it is not installed or cannot be imported, such as bindings without their libraries.
    """
    name = installed()
    try:
        api = importlib.import_module(name)
    except (ImportError, OSError, RuntimeError) as error:
        raise EngineUnavailableError(f"{name} cannot be imported ({error}): {INSTALL}") from error
    return TensorrtLibrary(
        "tensorrt" if name == "tensorrt" else "tensorrt_rtx", str(api.__version__), api
    )

"""OpenVINO on the processor: the engine a node uses unless told otherwise.

One model with free N, H and W is compiled. A size that was not seen before costs one slower call,
while its kernels are made; one pool of memory, as large as the largest call, serves all sizes.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any, Literal

import numpy as np

from model_store.engines.base import Engine, Images, engine_error
from model_store.errors import EngineError, EngineUnavailableError
from model_store.ref import ModelRef
from model_store.store import ModelVersion

OpenVinoPrecision = Literal["f32", "bf16"]

_CAPABILITY = {"f32": "FP32", "bf16": "BF16"}


def load_openvino() -> ModuleType:
    """Import OpenVINO without its telemetry.

    ``import openvino`` sends an event to the vendor and keeps a client id in the home folder if the
    package ``openvino_telemetry`` can be imported, which its wheel requires. A node in a hospital
    tells nobody anything: that package is made unimportable first, and OpenVINO then uses its own
    stub. Always import OpenVINO through this function.

    Raises
    ------
    EngineUnavailableError
        If OpenVINO is not installed, or was imported elsewhere with its telemetry.
    """
    if sys.modules.get("openvino_telemetry") is not None:
        raise EngineUnavailableError(
            "openvino_telemetry is loaded: something imported openvino before this engine did"
        )
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    try:
        return importlib.import_module("openvino")
    except ImportError as error:
        raise EngineUnavailableError(
            f"OpenVINO cannot be imported ({error}): pip install openvino"
        ) from error


def supports(precision: OpenVinoPrecision) -> bool:
    """Whether this processor computes in `precision` natively."""
    return _CAPABILITY[precision] in load_openvino().Core().get_property(
        "CPU", "OPTIMIZATION_CAPABILITIES"
    )


class OpenVinoEngine(Engine):
    """A model version compiled by OpenVINO for the processor.

    Parameters
    ----------
    version : ModelVersion
        Its ONNX bytes are read and verified here.
    precision : {"f32", "bf16"}
        Never left to OpenVINO, which takes bf16 wherever the processor has it.
    threads : int
        Threads of one call; 0 leaves it to OpenVINO (one for each core it may use).

    Raises
    ------
    EngineUnavailableError
        If OpenVINO is not installed or the processor has no bf16.
    ModelIntegrityError
        If the ONNX file is not the released one.
    EngineError
        If OpenVINO cannot compile it, or compiled it in another precision.
    """

    def __init__(
        self, version: ModelVersion, precision: OpenVinoPrecision = "f32", threads: int = 0
    ) -> None:
        openvino = load_openvino()
        if not supports(precision):
            raise EngineUnavailableError(f"this processor has no {precision}; use f32")
        core = openvino.Core()
        settings: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": precision,
            "EXECUTION_MODE_HINT": "ACCURACY" if precision == "f32" else "PERFORMANCE",
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
            # Workers beside each other would all be pinned to the same first cores.
            "ENABLE_CPU_PINNING": False,
        }
        if threads:
            settings["INFERENCE_NUM_THREADS"] = threads
        super().__init__(
            version.ref,
            name="openvino",
            precision=precision,
            device=str(core.get_property("CPU", "FULL_DEVICE_NAME")).strip(),
        )
        self._library = str(openvino.get_version())
        compiled = _compile(core, version, settings)
        used = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        if used != {"f32": "f32", "bf16": "bf16"}[precision]:
            raise EngineError(f"{version.ref}: OpenVINO compiled in {used}, not in {precision}")
        self._threads = int(compiled.get_property("INFERENCE_NUM_THREADS"))
        self._tensor = openvino.Tensor
        self._request: Any = compiled.create_infer_request()

    def _run(self, images: Images) -> Images:
        if self._request is None:
            raise EngineError(f"the engine of {self.ref} was closed")
        try:
            self._request.set_input_tensor(0, self._tensor(images, shared_memory=True))
            self._request.infer()
            output = self._request.get_output_tensor(0).data
        except (RuntimeError, MemoryError) as error:
            raise engine_error(self.ref, "running", error) from error
        return np.array(output, dtype=np.float32)

    def close(self) -> None:
        """Free the compiled model; closing twice is harmless."""
        self._request = None

    def describe(self) -> dict[str, str]:
        """Add the library's version and the number of threads to what every engine says."""
        return {**super().describe(), "library": self._library, "threads": str(self._threads)}


def _compile(core: Any, version: ModelVersion, settings: dict[str, Any]) -> Any:
    try:
        model = core.read_model(version.read())
        _check_ports(version.ref, model)
        return core.compile_model(model, "CPU", settings)
    except (RuntimeError, MemoryError) as error:
        raise engine_error(version.ref, "compiling", error) from error


def _check_ports(ref: ModelRef, model: Any) -> None:
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise EngineError(f"{ref}: the ONNX file must have one input and one output")
    shape = model.inputs[0].get_partial_shape()
    free = (
        [axis for axis, size in enumerate(shape) if size.is_dynamic] if shape.rank.is_static else []
    )
    if (
        free not in ([0, 2, 3], [0, 1, 2, 3])
        or str(model.inputs[0].get_element_type().get_type_name()) != "f32"
    ):
        raise EngineError(f"{ref}: the ONNX input must be float32 with free N, H and W")

"""Which engines this machine can run, in which precisions, and why not the others."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from model_store.engines.openvino import load_openvino, supports
from model_store.engines.tensorrt.cuda import CudaDevice
from model_store.engines.tensorrt.device import DeviceProperties, require_device
from model_store.engines.tensorrt.library import INSTALL, TensorrtLibrary, installed, load_library
from model_store.engines.tensorrt.precision import (
    PLAN_PRECISIONS,
    PlanPrecision,
    require_arithmetic,
)
from model_store.errors import EngineUnavailableError


@dataclass(frozen=True, slots=True)
class Option:
    """An engine in a precision.

    Parameters
    ----------
    engine, precision : str
        As `model_store.engines.select.choose_engine` takes them.
    device : str
        What it would run on; empty if that is not known.
    library : str
        Its version; empty if it is not installed.
    why_not : str
        Why it cannot run here; empty if it can.
    """

    engine: str
    precision: str
    device: str = ""
    library: str = ""
    why_not: str = ""


def options() -> tuple[Option, ...]:
    """Every engine and precision, whether it can run here or not; no model is loaded."""
    return (*_openvino(), _onnxruntime(), *_tensorrt(), _torch())


def _openvino() -> Iterator[Option]:
    try:
        openvino = load_openvino()
    except EngineUnavailableError as error:
        yield from (Option("openvino", name, why_not=str(error)) for name in ("f32", "bf16"))
        return
    device = str(openvino.Core().get_property("CPU", "FULL_DEVICE_NAME")).strip()
    library = str(openvino.get_version())
    yield Option("openvino", "f32", device, library)
    missing = "" if supports("bf16") else "this processor has no bf16"
    yield Option("openvino", "bf16", device, library, missing)


def _onnxruntime() -> Option:
    try:
        library = str(importlib.import_module("onnxruntime").__version__)
    except ImportError:
        why_not = "ONNX Runtime is not installed: pip install 'dicom-node[onnxruntime]'"
        return Option("onnxruntime", "f32", why_not=why_not)
    return Option("onnxruntime", "f32", "CPU", library)


def _torch() -> Option:
    # Importing torch takes seconds, so its package is asked.
    try:
        library = version("torch")
    except PackageNotFoundError:
        why_not = "torch is not installed: pip install 'dicom-node[train]'"
        return Option("torch", "f32", why_not=why_not)
    return Option("torch", "f32", "CPU", library)


def _tensorrt() -> Iterator[Option]:
    try:
        library, about = _gpu()
    except EngineUnavailableError as error:
        yield from (
            Option("tensorrt", precision, why_not=str(error)) for precision in PLAN_PRECISIONS
        )
        return
    for precision in PLAN_PRECISIONS:
        name = f"{library.name} {library.version}"
        yield Option("tensorrt", precision, about.name, name, _missing(library, about, precision))


def _gpu() -> tuple[TensorrtLibrary, DeviceProperties]:
    installed()
    require_device()
    library, device = load_library(), CudaDevice()
    about = device.properties
    device.close()
    return library, about


def _missing(library: TensorrtLibrary, about: DeviceProperties, precision: PlanPrecision) -> str:
    """Why a precision cannot run on a GPU; empty if it can."""
    if library.refuses(about.compute_capability):
        return f"TensorRT for RTX does not run on {about.name}: install the full TensorRT"
    if precision != "f32" and find_spec("onnx") is None:
        return f"{precision} needs onnx, which is not installed: {INSTALL}"
    try:
        require_arithmetic(precision, about.compute_capability, about.name)
    except EngineUnavailableError as error:
        return str(error)
    return ""

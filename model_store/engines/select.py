"""Which engine runs a model version on this machine, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from model_store.engines.base import DeviceLostError, Engine
from model_store.engines.equivalence import compare
from model_store.engines.onnxruntime import OnnxRuntimeEngine
from model_store.engines.openvino import OpenVinoEngine, supports
from model_store.engines.tensorrt import build_tensorrt
from model_store.engines.torch_reference import TorchEngine
from model_store.errors import EngineError, EngineUnavailableError
from model_store.graph import check_graph
from model_store.store import ModelVersion

Kind = Literal["auto", "openvino", "onnxruntime", "tensorrt", "torch"]
Precision = Literal["auto", "f32", "bf16", "f16", "int8", "fp8"]


@dataclass(frozen=True, slots=True)
class EngineChoice:
    """An engine and the reason for it.

    Parameters
    ----------
    engine : Engine
        Ready to run.
    reason : str
        Why this engine and precision, for a log line and the audit record.
    """

    engine: Engine
    reason: str


def build_engine(
    version: ModelVersion, kind: Kind = "auto", precision: Precision = "f32", threads: int = 0
) -> Engine:
    """Build an engine for a model version; see `choose_engine`, which also says why."""
    return choose_engine(version, kind, precision, threads).engine


def choose_engine(
    version: ModelVersion, kind: Kind = "auto", precision: Precision = "f32", threads: int = 0
) -> EngineChoice:
    """Build an engine for a model version and say why it is that one.

    Parameters
    ----------
    version : ModelVersion
        What to run; the bytes that the engine loads are verified.
    kind : {"auto", "openvino", "onnxruntime", "tensorrt", "torch"}
        ``auto`` takes TensorRT where library and GPU are there and it can be built, and else
        OpenVINO; the reason says why.
    precision : {"f32", "bf16", "f16", "int8", "fp8", "auto"}
        bf16 is OpenVINO's, f16, int8 and fp8 are TensorRT's. ``auto`` takes bf16 or f16 where the
        engine has it and no pixel of the golden images comes out more than 1 HU, or one grey level
        of twelve bits, away from f32. It never takes int8 or fp8: no released model comes close to
        that limit in them, so they must be asked for.
    threads : int
        Threads of one call; 0 leaves it to the engine.

    Raises
    ------
    EngineUnavailableError
        If the asked-for engine or precision cannot run here.
    ModelIntegrityError
        If the version's files are not the released ones.
    GraphError
        If the ONNX file is not of the kind that `check_graph` lets pass.
    EngineError
        If the engine cannot be built.
    """
    if kind != "torch":
        check_graph(version.read())
    if kind == "auto":
        return _best(version, precision, threads)
    if kind == "tensorrt":
        return _tensorrt(version, precision, "asked for")
    if kind == "openvino":
        return _openvino(version, precision, threads)
    if precision not in {"auto", "f32"}:
        raise EngineUnavailableError(
            f"engine {kind} runs in f32 only; use openvino for bf16, tensorrt for f16, int8 and fp8"
        )
    if kind == "onnxruntime":
        return EngineChoice(OnnxRuntimeEngine(version, threads), "onnxruntime f32: asked for")
    if kind == "torch":
        return EngineChoice(TorchEngine(version, threads), "torch f32: asked for")
    raise EngineError(
        f"engine {kind!r} is unknown; choose auto, openvino, onnxruntime, tensorrt or torch"
    )


def _best(version: ModelVersion, precision: Precision, threads: int) -> EngineChoice:
    try:
        return _tensorrt(version, precision, "it can run here")
    except DeviceLostError:
        raise
    except EngineError as error:
        try:
            choice = _openvino(version, precision, threads)
        except EngineUnavailableError as other:
            raise EngineUnavailableError(f"{other}; not tensorrt: {error}") from error
        return EngineChoice(choice.engine, f"{choice.reason}; not tensorrt: {error}")


def _tensorrt(version: ModelVersion, precision: Precision, why: str) -> EngineChoice:
    if precision != "auto":
        engine = build_tensorrt(version, precision)
        return EngineChoice(engine, f"tensorrt {precision}: {why}")
    exact = build_tensorrt(version, "f32")
    try:
        fast = build_tensorrt(version, "f16")
    except DeviceLostError:
        raise
    except EngineError as error:
        return EngineChoice(exact, f"tensorrt f32: {why}; not f16: {error}")
    found = compare(exact, fast, version.manifest)
    kept, dropped = (fast, exact) if found.passed else (exact, fast)
    dropped.close()
    return EngineChoice(kept, f"tensorrt {kept.precision}: {why}; f16 against f32: {found}")


def _openvino(version: ModelVersion, precision: Precision, threads: int) -> EngineChoice:
    if precision in {"f16", "int8", "fp8"}:
        raise EngineUnavailableError(f"openvino runs in f32 and bf16 here, not in {precision}")
    if precision not in {"auto", "f32", "bf16"}:
        raise EngineError(
            f"precision {precision!r} is unknown; choose {', '.join(get_args(Precision))}"
        )
    if precision != "auto":
        engine = OpenVinoEngine(version, precision, threads)
        return EngineChoice(engine, f"openvino {precision}: precision set by the configuration")
    exact = OpenVinoEngine(version, "f32", threads)
    if not supports("bf16"):
        return EngineChoice(exact, "openvino f32: the processor has no bf16")
    fast = OpenVinoEngine(version, "bf16", threads)
    found = compare(exact, fast, version.manifest)
    kept, dropped = (fast, exact) if found.passed else (exact, fast)
    dropped.close()
    return EngineChoice(kept, f"openvino {kept.precision}: bf16 against f32: {found}")

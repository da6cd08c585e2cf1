"""Program: a plan loaded by TensorRT, and the contexts in which it runs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from model_store.engines.tensorrt.device import DeviceMemoryError, Handle
from model_store.engines.tensorrt.library import TensorrtLibrary
from model_store.engines.tensorrt.plan import Plan
from model_store.engines.tensorrt.profile import Size
from model_store.errors import EngineError
from model_store.ref import ModelRef


class ExecutionContext(ABC):
    """A program set up for one size; used by one thread, on one stream."""

    @property
    @abstractmethod
    def scratch_bytes(self) -> int:
        """Device memory that it needs while it runs; contexts that take turns may share it."""

    @abstractmethod
    def bind(self, source: Handle, target: Handle, scratch: Handle) -> None:
        """Set where it reads, writes and works; the addresses stay fixed."""

    @abstractmethod
    def enqueue(self, stream: Handle) -> None:
        """Queue the network.

        Raises
        ------
        EngineError
            If it cannot be queued; `DeviceMemoryError` if memory is what is missing.
        """


class Program(ABC):
    """A network that is ready to run on the device; threads share it."""

    @abstractmethod
    def context(self, profile: int, size: Size, stream: Handle) -> ExecutionContext:
        """A new context for `size` images, rows and columns, within a profile."""

    @abstractmethod
    def close(self) -> None:
        """Free it, after all of its contexts."""


class TensorrtProgram(Program):
    """A plan deserialised by TensorRT.

    Only a `Plan` is taken, which a `PlanCache` has checked, and only with an active device:
    without one, TensorRT crashes the process.

    Parameters
    ----------
    library : TensorrtLibrary
    plan : Plan
    ref : ModelRef
        Named in messages.

    Raises
    ------
    EngineError
        If TensorRT does not take the plan; `DeviceMemoryError` if memory is what is missing.
    """

    def __init__(self, library: TensorrtLibrary, plan: Plan, ref: ModelRef) -> None:
        self._api, self._ref, self._log = library.api, ref, library.log()
        self._runtime: Any = self._api.Runtime(self._log)
        self._engine: Any = self._runtime.deserialize_cuda_engine(plan.data)
        if self._engine is None:
            said = self._log.said()
            raise _kind(said)(f"{ref}: TensorRT does not accept its plan: {said}")

    def context(self, profile: int, size: Size, stream: Handle) -> ExecutionContext:
        """A new context whose memory is given to it from outside."""
        strategy = self._api.ExecutionContextAllocationStrategy.USER_MANAGED
        made = self._engine.create_execution_context(strategy)
        if made is None:
            raise _fault(self._ref, "making a context", self._log.said())
        return _TensorrtContext(
            self._engine,
            made,
            profile=profile,
            size=size,
            stream=stream,
            ref=self._ref,
            log=self._log,
        )

    def close(self) -> None:
        """Free engine and runtime."""
        self._engine = self._runtime = None


class _TensorrtContext(ExecutionContext):
    def __init__(
        self,
        engine: Any,
        context: Any,
        *,
        profile: int,
        size: Size,
        stream: Handle,
        ref: ModelRef,
        log: Any,
    ) -> None:
        self._context, self._ref, self._log = context, ref, log
        self._source, self._target = engine.get_tensor_name(0), engine.get_tensor_name(1)
        count, rows, columns = size
        if not (
            context.set_optimization_profile_async(profile, stream)
            and context.set_input_shape(self._source, (count, 1, rows, columns))
        ):
            raise _fault(self._ref, f"setting the size {size}", self._log.said())
        self._scratch_bytes = int(context.update_device_memory_size_for_shapes())

    @property
    def scratch_bytes(self) -> int:
        return self._scratch_bytes

    def bind(self, source: Handle, target: Handle, scratch: Handle) -> None:
        self._context.set_device_memory(scratch, self._scratch_bytes)
        if not (
            self._context.set_tensor_address(self._source, source)
            and self._context.set_tensor_address(self._target, target)
        ):
            raise _fault(self._ref, "binding memory", self._log.said())

    def enqueue(self, stream: Handle) -> None:
        if not self._context.execute_async_v3(stream):
            raise _fault(self._ref, "running", self._log.said())


def _fault(ref: ModelRef, doing: str, said: str) -> EngineError:
    return _kind(said)(f"{doing} {ref} failed: {said}")


def _kind(said: str) -> type[EngineError]:
    return DeviceMemoryError if "out of memory" in said.lower() else EngineError

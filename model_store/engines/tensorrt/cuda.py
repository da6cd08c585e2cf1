"""CUDA through its driver library, which is there wherever there is an NVIDIA driver.

No package is needed: the driver's interface is stable and ctypes suffices for the two dozen calls
of an executor. Function names and numbers are those of ``cuda.h``.
"""

from __future__ import annotations

import ctypes
import os
import re
from ctypes import byref, c_char_p, c_int, c_size_t, c_uint, c_uint64, c_void_p
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from model_store.engines.base import DeviceLostError
from model_store.engines.tensorrt.device import (
    Device,
    DeviceMemoryError,
    DeviceProperties,
    Handle,
)
from model_store.errors import EngineError, EngineUnavailableError

_OUT_OF_MEMORY: Final = 2
_CAPTURE_FAULTS: Final = range(900, 909)
_LOST: Final = frozenset(
    {4, 46, 100, 101, 201, 214, 220, 226, 700, 702, 709, 710, *range(714, 720), 721, 805, 812, 999}
)
"""Errors after which CUDA refuses this process: uncorrectable memory, a kernel's fault, a device
that fell off the bus, an ended context, and what the driver itself cannot name."""
_NON_BLOCKING: Final = 1
_NO_TIMING: Final = 2
_THREAD_LOCAL: Final = 1
_PORTABLE: Final = 1
_ATTRIBUTES: Final = {
    "processors": 16, "bus_bits": 37, "l2_bytes": 38, "ecc": 32,
    "shared_block_bytes": 97, "shared_processor_bytes": 81, "major": 75, "minor": 76,
}  # fmt: skip
_SIGNATURES: Final[dict[str, tuple[Any, ...]]] = {
    "cuInit": (c_uint,),
    "cuDriverGetVersion": (c_void_p,),
    "cuDeviceGet": (c_void_p, c_int),
    "cuDeviceGetName": (c_char_p, c_int, c_int),
    "cuDeviceGetAttribute": (c_void_p, c_int, c_int),
    "cuDeviceTotalMem_v2": (c_void_p, c_int),
    "cuDevicePrimaryCtxRetain": (c_void_p, c_int),
    "cuDevicePrimaryCtxRelease_v2": (c_int,),
    "cuCtxSetCurrent": (c_void_p,),
    "cuMemGetInfo_v2": (c_void_p, c_void_p),
    "cuMemAlloc_v2": (c_void_p, c_size_t),
    "cuMemFree_v2": (c_uint64,),
    "cuMemHostAlloc": (c_void_p, c_size_t, c_uint),
    "cuMemFreeHost": (c_void_p,),
    "cuMemcpyHtoDAsync_v2": (c_uint64, c_void_p, c_size_t, c_void_p),
    "cuMemcpyDtoHAsync_v2": (c_void_p, c_uint64, c_size_t, c_void_p),
    "cuStreamCreate": (c_void_p, c_uint),
    "cuStreamDestroy_v2": (c_void_p,),
    "cuStreamSynchronize": (c_void_p,),
    "cuStreamWaitEvent": (c_void_p, c_void_p, c_uint),
    "cuStreamBeginCapture_v2": (c_void_p, c_int),
    "cuStreamEndCapture": (c_void_p, c_void_p),
    "cuEventCreate": (c_void_p, c_uint),
    "cuEventDestroy_v2": (c_void_p,),
    "cuEventRecord": (c_void_p, c_void_p),
    "cuEventSynchronize": (c_void_p,),
    "cuGraphInstantiateWithFlags": (c_void_p, c_void_p, c_uint64),
    "cuGraphDestroy": (c_void_p,),
    "cuGraphExecDestroy": (c_void_p,),
    "cuGraphLaunch": (c_void_p, c_void_p),
}


class CudaDevice(Device):
    """The first GPU that this process sees.

    Its primary context is used, the one that TensorRT and torch use too.

    Parameters
    ----------
    library : object, optional
        Stands in for the driver's library in tests.

    Raises
    ------
    EngineUnavailableError
        If there is no driver or no device.
    """

    def __init__(self, library: Any = None) -> None:
        self._cuda = _Calls(library if library is not None else _load())
        self._pid = os.getpid()
        self._pinned: dict[int, int] = {}
        try:
            self._cuda("cuInit", 0)
            device = c_int()
            self._cuda("cuDeviceGet", byref(device), 0)
        except EngineError as error:
            raise EngineUnavailableError(f"no CUDA device: {error}") from error
        self._number = device.value
        self._properties = self._ask()
        context = c_void_p()
        self._cuda("cuDevicePrimaryCtxRetain", byref(context), self._number)
        self._context: Handle = context.value or 0

    @property
    def properties(self) -> DeviceProperties:
        """What it is."""
        return self._properties

    def activate(self) -> None:
        """Make it the calling thread's device; a forked process has none."""
        if os.getpid() != self._pid:
            raise DeviceLostError("CUDA does not survive a fork: start the worker anew")
        self._cuda("cuCtxSetCurrent", self._context)

    def free_bytes(self) -> int:
        """Memory that is free now."""
        free, total = c_size_t(), c_size_t()
        self._cuda("cuMemGetInfo_v2", byref(free), byref(total))
        return free.value

    def allocate(self, size: int) -> Handle:
        """Take `size` bytes of its memory."""
        address = c_uint64()
        self._cuda("cuMemAlloc_v2", byref(address), size)
        return address.value

    def release(self, address: Handle) -> None:
        """Give memory back."""
        self._cuda("cuMemFree_v2", address)

    def pin(self, size: int) -> NDArray[np.uint8]:
        """Take `size` bytes of pinned host memory."""
        address = c_void_p()
        self._cuda("cuMemHostAlloc", byref(address), size, _PORTABLE)
        place = address.value or 0
        memory: NDArray[np.uint8] = np.ctypeslib.as_array(
            (ctypes.c_uint8 * size).from_address(place)
        )
        self._pinned[memory.ctypes.data] = place
        return memory

    def unpin(self, memory: NDArray[np.uint8]) -> None:
        """Give pinned memory back."""
        self._cuda("cuMemFreeHost", self._pinned.pop(memory.ctypes.data))

    def open_stream(self) -> Handle:
        """A new stream that does not wait for the default one."""
        return self._make("cuStreamCreate", _NON_BLOCKING)

    def close_stream(self, stream: Handle) -> None:
        """Close a stream."""
        self._cuda("cuStreamDestroy_v2", stream)

    def open_event(self) -> Handle:
        """A new event without a time."""
        return self._make("cuEventCreate", _NO_TIMING)

    def close_event(self, event: Handle) -> None:
        """Close an event."""
        self._cuda("cuEventDestroy_v2", event)

    def upload(self, target: Handle, source: NDArray[np.float32], stream: Handle) -> None:
        """Queue a copy of pinned memory to the device."""
        self._cuda("cuMemcpyHtoDAsync_v2", target, source.ctypes.data, source.nbytes, stream)

    def download(self, target: NDArray[np.float32], source: Handle, stream: Handle) -> None:
        """Queue a copy from the device to pinned memory."""
        self._cuda("cuMemcpyDtoHAsync_v2", target.ctypes.data, source, target.nbytes, stream)

    def record(self, event: Handle, stream: Handle) -> None:
        """Queue the event."""
        self._cuda("cuEventRecord", event, stream)

    def wait(self, stream: Handle, event: Handle) -> None:
        """Queue a pause of the stream until the event has happened."""
        self._cuda("cuStreamWaitEvent", stream, event, 0)

    def wait_here(self, event: Handle) -> None:
        """Wait on the host until the event has happened."""
        self._cuda("cuEventSynchronize", event)

    def drain(self, stream: Handle) -> None:
        """Wait on the host until nothing is queued on the stream."""
        self._cuda("cuStreamSynchronize", stream)

    def begin_capture(self, stream: Handle) -> None:
        """Put what this thread queues from now on into a graph instead."""
        self._cuda("cuStreamBeginCapture_v2", stream, _THREAD_LOCAL)

    def end_capture(self, stream: Handle) -> Handle:
        """End the capture; 0 if what was queued cannot be captured."""
        graph = c_void_p()
        code = self._cuda.code("cuStreamEndCapture", stream, byref(graph))
        if code in _CAPTURE_FAULTS:
            return 0
        self._cuda.check("cuStreamEndCapture", code)
        if not graph.value:
            return 0
        ready = c_void_p()
        try:
            self._cuda("cuGraphInstantiateWithFlags", byref(ready), graph.value, 0)
        finally:
            self._cuda("cuGraphDestroy", graph.value)
        return ready.value or 0

    def launch(self, graph: Handle, stream: Handle) -> None:
        """Queue a graph."""
        self._cuda("cuGraphLaunch", graph, stream)

    def close_graph(self, graph: Handle) -> None:
        """Free a graph."""
        self._cuda("cuGraphExecDestroy", graph)

    def close(self) -> None:
        """Let the device go; closing twice is harmless."""
        if self._context and os.getpid() == self._pid:
            self._context = 0
            self._cuda("cuDevicePrimaryCtxRelease_v2", self._number)

    def _make(self, function: str, flags: int) -> Handle:
        made = c_void_p()
        self._cuda(function, byref(made), flags)
        return made.value or 0

    def _ask(self) -> DeviceProperties:
        name = ctypes.create_string_buffer(256)
        self._cuda("cuDeviceGetName", name, len(name), self._number)
        memory, version = c_size_t(), c_int()
        self._cuda("cuDeviceTotalMem_v2", byref(memory), self._number)
        self._cuda("cuDriverGetVersion", byref(version))
        found: dict[str, int] = {}
        for what, number in _ATTRIBUTES.items():
            value = c_int()
            self._cuda("cuDeviceGetAttribute", byref(value), number, self._number)
            found[what] = value.value
        return DeviceProperties(
            name=name.value.decode(errors="replace"),
            capability=f"{found['major']}.{found['minor']}",
            processors=found["processors"],
            bus_bits=found["bus_bits"],
            l2_bytes=found["l2_bytes"],
            memory_bytes=memory.value,
            shared_block_bytes=found["shared_block_bytes"],
            shared_processor_bytes=found["shared_processor_bytes"],
            ecc=bool(found["ecc"]),
            driver=f"{_kernel_driver()}, CUDA {version.value // 1000}.{version.value % 1000 // 10}",
        )


class _Calls:
    """Calls of the driver's library, their results in our words."""

    def __init__(self, library: Any) -> None:
        self._functions: dict[str, Any] = {}
        for name, arguments in _SIGNATURES.items():
            function = getattr(library, name)
            function.argtypes, function.restype = list(arguments), c_int
            self._functions[name] = function

    def code(self, name: str, *arguments: Any) -> int:
        return int(self._functions[name](*arguments))

    def __call__(self, name: str, *arguments: Any) -> None:
        self.check(name, self.code(name, *arguments))

    @staticmethod
    def check(name: str, code: int) -> None:
        """Raise what a result of the driver's means, unless it is success."""
        if not code:
            return
        text = f"{name} gave CUDA error {code}"
        if code == _OUT_OF_MEMORY:
            raise DeviceMemoryError(f"{text}: the device is out of memory")
        if code in _LOST:
            raise DeviceLostError(f"{text}: the device is lost to this process; it must end")
        raise EngineError(text)


def _load() -> Any:
    try:
        return ctypes.CDLL("libcuda.so.1")
    except OSError as error:
        raise EngineUnavailableError(f"no CUDA device: {error}") from error


def _kernel_driver() -> str:
    try:
        text = Path("/proc/driver/nvidia/version").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "driver of unknown version"
    found = re.search(r"\b\d+\.\d+(?:\.\d+)?\b", text)
    return f"driver {found.group()}" if found else "driver of unknown version"

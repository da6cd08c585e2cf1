"""Device: the little of CUDA that an executor needs, behind an interface that a test can play."""

from __future__ import annotations

import subprocess
import sys
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from model_store.engines.base import EngineMemoryError
from model_store.errors import EngineUnavailableError

Handle = int
"""A stream, event, graph or address of the device; 0 is none."""

_PROBE: Final = """
import ctypes, sys
try:
    cuda = ctypes.CDLL("libcuda.so.1")
except OSError:
    sys.exit("there is no NVIDIA driver (libcuda.so.1)")
code = cuda.cuInit(0)
count = ctypes.c_int()
code = code or cuda.cuDeviceGetCount(ctypes.byref(count))
if code:
    sys.exit(f"the NVIDIA driver answers with CUDA error {code}")
print(count.value)
"""
_PROBE_SECONDS: Final = 60


class DeviceMemoryError(EngineMemoryError):
    """The device has no memory left for this; a smaller batch may fit."""


@dataclass(frozen=True, slots=True)
class DeviceProperties:
    """What a plan's key says of a device.

    Parameters
    ----------
    name : str
        As the driver gives it; a part of a divided GPU is named with its MIG profile.
    capability : str
        Compute capability, such as ``9.0``.
    processors : int
        Streaming multiprocessors.
    bus_bits, l2_bytes, memory_bytes : int
        Width of the memory bus, L2 cache, total memory.
    shared_block_bytes, shared_processor_bytes : int
        Most shared memory of a block (opted in) and of a multiprocessor.
    ecc : bool
        Whether memory has error correction switched on.
    driver : str
        Version of the kernel driver and of the CUDA that it brings.
    """

    name: str
    capability: str
    processors: int
    bus_bits: int
    l2_bytes: int
    memory_bytes: int
    shared_block_bytes: int
    shared_processor_bytes: int
    ecc: bool
    driver: str

    @property
    def compute_capability(self) -> tuple[int, int]:
        """Compute capability as two numbers."""
        major, _, minor = self.capability.partition(".")
        return int(major), int(minor)


class Device(ABC):
    """One GPU. Whatever is queued on a stream runs later, in the stream's order.

    Every method but `properties` may raise `DeviceMemoryError` or `DeviceLostError`, or
    `EngineError` for another fault of the driver's.
    """

    @property
    @abstractmethod
    def properties(self) -> DeviceProperties:
        """What it is."""

    @abstractmethod
    def activate(self) -> None:
        """Make it the calling thread's device."""

    @abstractmethod
    def free_bytes(self) -> int:
        """Memory that is free now."""

    @abstractmethod
    def allocate(self, size: int) -> Handle:
        """Take `size` bytes of its memory."""

    @abstractmethod
    def release(self, address: Handle) -> None:
        """Give memory back; nothing that is queued may still use it."""

    @abstractmethod
    def pin(self, size: int) -> NDArray[np.uint8]:
        """Take `size` bytes of the host's memory that copies need not go around."""

    @abstractmethod
    def unpin(self, memory: NDArray[np.uint8]) -> None:
        """Give pinned memory back; no array on it may be used any more."""

    @abstractmethod
    def open_stream(self) -> Handle:
        """A new stream."""

    @abstractmethod
    def close_stream(self, stream: Handle) -> None:
        """Close a stream."""

    @abstractmethod
    def open_event(self) -> Handle:
        """A new event."""

    @abstractmethod
    def close_event(self, event: Handle) -> None:
        """Close an event."""

    @abstractmethod
    def upload(self, target: Handle, source: NDArray[np.float32], stream: Handle) -> None:
        """Queue a copy of pinned memory to the device."""

    @abstractmethod
    def download(self, target: NDArray[np.float32], source: Handle, stream: Handle) -> None:
        """Queue a copy from the device to pinned memory."""

    @abstractmethod
    def record(self, event: Handle, stream: Handle) -> None:
        """Queue the event: it happens when all that was queued before it is done."""

    @abstractmethod
    def wait(self, stream: Handle, event: Handle) -> None:
        """Queue a pause of the stream until the event's last recording has happened."""

    @abstractmethod
    def wait_here(self, event: Handle) -> None:
        """Wait on the host until the event's last recording has happened."""

    @abstractmethod
    def drain(self, stream: Handle) -> None:
        """Wait on the host until nothing is queued on the stream."""

    @abstractmethod
    def begin_capture(self, stream: Handle) -> None:
        """Put what is queued from now on into a graph instead."""

    @abstractmethod
    def end_capture(self, stream: Handle) -> Handle:
        """End the capture; returns the graph, ready to be launched, or 0 if it failed."""

    @abstractmethod
    def launch(self, graph: Handle, stream: Handle) -> None:
        """Queue a graph."""

    @abstractmethod
    def close_graph(self, graph: Handle) -> None:
        """Free a graph."""

    @abstractmethod
    def close(self) -> None:
        """Let the device go; closing twice is harmless."""


def count_devices(runner: Any = subprocess.run) -> int:
    """How many CUDA devices this process would see.

    A process of its own asks, so that this one can still fork, and lives if the driver crashes.

    Raises
    ------
    EngineUnavailableError
        If there is no driver, or it does not answer.
    """
    try:
        done = runner(
            [sys.executable, "-I", "-S", "-c", _PROBE],
            capture_output=True, text=True, check=False, timeout=_PROBE_SECONDS,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EngineUnavailableError(f"the NVIDIA driver cannot be queried: {error}") from error
    if done.returncode:
        said = str(done.stderr).strip().splitlines()
        why = said[-1] if said else f"the query ended with exit code {done.returncode}"
        raise EngineUnavailableError(f"no CUDA device: {why}")
    return int(done.stdout)


def require_device() -> None:
    """See that there is a CUDA device.

    Raises
    ------
    EngineUnavailableError
        If there is none, with the reason.
    """
    if not count_devices():
        raise EngineUnavailableError("no CUDA device: the NVIDIA driver knows of none")

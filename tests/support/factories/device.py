"""A device that is played: as lazy as CUDA allows, so that a missing wait gives wrong pixels.

Nothing queued on a stream runs before somebody waits for it; then only what had to run has run.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

import numpy as np
from numpy.typing import NDArray

from model_store.engines.base import DeviceLostError
from model_store.engines.tensorrt.device import (
    Device,
    DeviceMemoryError,
    DeviceProperties,
)
from model_store.engines.tensorrt.profile import Size
from model_store.engines.tensorrt.program import ExecutionContext, Program
from model_store.errors import EngineError

H200 = DeviceProperties(
    name="NVIDIA H200",
    capability="9.0",
    processors=132,
    bus_bits=6144,
    l2_bytes=60 << 20,
    memory_bytes=141 << 30,
    shared_block_bytes=227 << 10,
    shared_processor_bytes=228 << 10,
    ecc=True,
    driver="driver 580.1, CUDA 13.0",
)

Work = Callable[[], None]


@dataclass(slots=True)
class _Stream:
    queued: list[Work] = field(default_factory=list)
    started: int = 0
    captured: list[Work] | None = None


class FakeDevice(Device):
    """Plays a GPU with `budget` bytes of memory.

    Attributes
    ----------
    lost : bool
        Set it, and every call fails as on a GPU that fell off the bus.
    capturable : bool
        Whether captures give graphs.
    launched : int
        Graphs launched so far.
    """

    def __init__(self, budget: int = 1 << 30) -> None:
        self.budget = budget
        self.lost = False
        self.capturable = True
        self.launched = 0
        self.memory: dict[int, NDArray[np.uint8]] = {}
        self.pinned: list[int] = []
        self.streams: dict[int, _Stream] = {}
        self.graphs: dict[int, list[Work]] = {}
        self.events: dict[int, tuple[int, int]] = {}
        self._numbers = count(256, 256)
        self._guard = threading.RLock()

    @property
    def properties(self) -> DeviceProperties:
        return H200

    @property
    def held(self) -> int:
        """Everything that was taken and not given back."""
        groups = (self.memory, self.pinned, self.streams, self.graphs, self.events)
        return sum(len(group) for group in groups)

    def activate(self) -> None:
        self._alive()

    def free_bytes(self) -> int:
        return self.budget - sum(block.nbytes for block in self.memory.values())

    def allocate(self, size: int) -> int:
        with self._guard:
            self._alive()
            if size > self.free_bytes():
                raise DeviceMemoryError("played: out of memory")
            place = next(self._numbers)
            self.memory[place] = np.full(size, 255, np.uint8)
            return place

    def release(self, address: int) -> None:
        del self.memory[address]

    def pin(self, size: int) -> NDArray[np.uint8]:
        block = np.full(size, 255, np.uint8)
        self.pinned.append(block.ctypes.data)
        return block

    def unpin(self, memory: NDArray[np.uint8]) -> None:
        self.pinned.remove(memory.ctypes.data)

    def open_stream(self) -> int:
        number = next(self._numbers)
        self.streams[number] = _Stream()
        return number

    def close_stream(self, stream: int) -> None:
        del self.streams[stream]

    def open_event(self) -> int:
        number = next(self._numbers)
        self.events[number] = (0, 0)
        return number

    def close_event(self, event: int) -> None:
        del self.events[event]

    def upload(self, target: int, source: NDArray[np.float32], stream: int) -> None:
        def work() -> None:
            self.memory[target][: source.nbytes] = source.reshape(-1).view(np.uint8)

        self.queue(stream, work)

    def download(self, target: NDArray[np.float32], source: int, stream: int) -> None:
        def work() -> None:
            target.reshape(-1).view(np.uint8)[...] = self.memory[source][: target.nbytes]

        self.queue(stream, work)

    def record(self, event: int, stream: int) -> None:
        self._alive()
        self.events[event] = (stream, len(self.streams[stream].queued))

    def wait(self, stream: int, event: int) -> None:
        other, reached = self.events[event]
        self.queue(stream, lambda: self._run(other, reached))

    def wait_here(self, event: int) -> None:
        self._alive()
        stream, reached = self.events[event]
        self._run(stream, reached)

    def drain(self, stream: int) -> None:
        self._alive()
        self._run(stream, len(self.streams[stream].queued))

    def begin_capture(self, stream: int) -> None:
        if self.streams[stream].captured is not None:
            raise EngineError("played: the stream is captured already (401)")
        self.streams[stream].captured = []

    def end_capture(self, stream: int) -> int:
        held = self.streams[stream]
        captured, held.captured = held.captured, None
        if not self.capturable or captured is None:
            return 0
        number = next(self._numbers)
        self.graphs[number] = captured
        return number

    def launch(self, graph: int, stream: int) -> None:
        self.launched += 1
        for work in self.graphs[graph]:
            self.queue(stream, work)

    def close_graph(self, graph: int) -> None:
        del self.graphs[graph]

    def close(self) -> None:
        pass

    def queue(self, stream: int, work: Work) -> None:
        """Put work on a stream, or into the graph that is captured from it."""
        self._alive()
        held = self.streams[stream]
        (held.queued if held.captured is None else held.captured).append(work)

    def _run(self, stream: int, until: int) -> None:
        if not stream:
            return
        held = self.streams[stream]
        while held.started < until:
            work = held.queued[held.started]
            held.started += 1
            work()

    def _alive(self) -> None:
        if self.lost:
            raise DeviceLostError("played: the device is lost")


class TwicePlusOne(Program):
    """Computes 2 x + 1 through scratch memory; its scratch grows with the batch."""

    def __init__(self, device: FakeDevice) -> None:
        self.device = device
        self.contexts: list[tuple[int, Size, int]] = []
        self.closed = False

    def context(self, profile: int, size: Size, stream: int) -> ExecutionContext:
        self.contexts.append((profile, size, threading.get_ident()))
        return _TwicePlusOne(self.device, size)

    def close(self) -> None:
        self.closed = True


class _TwicePlusOne(ExecutionContext):
    def __init__(self, device: FakeDevice, size: Size) -> None:
        self._device = device
        self._bytes = 4 * size[0] * size[1] * size[2]
        self._places = (0, 0, 0)

    @property
    def scratch_bytes(self) -> int:
        return self._bytes

    def bind(self, source: int, target: int, scratch: int) -> None:
        self._places = (source, target, scratch)

    def enqueue(self, stream: int) -> None:
        source, target, scratch = self._places
        memory, size = self._device.memory, self._bytes

        def first() -> None:
            memory[scratch][:size].view(np.float32)[...] = 2 * memory[source][:size].view(
                np.float32
            )

        def second() -> None:
            memory[target][:size].view(np.float32)[...] = (
                memory[scratch][:size].view(np.float32) + 1
            )

        self._device.queue(stream, first)
        self._device.queue(stream, second)

"""Executor: runs a program over batches, copying one while it computes another.

Each thread has a lane of its own: a stream that copies and one that computes, and two slots of
pinned and device memory that chunks of a batch use in turn. Uploading chunk k+1 and downloading
chunk k-1 go on while chunk k is computed. Each slot and size has a context and, after one run that
warms it up, a CUDA graph, so that a small network is not held up by its launches.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from model_store.engines.base import DeviceLostError, EngineMemoryError, Images
from model_store.engines.tensorrt.device import (
    Device,
    DeviceMemoryError,
    Handle,
)
from model_store.engines.tensorrt.profile import Profile, Size, profile_for
from model_store.engines.tensorrt.program import ExecutionContext, Program
from model_store.errors import EngineError

_SHARE: Final = 0.8
"""Part of the free memory that a batch may take."""
_GRAPHS: Final = 16
_BYTES: Final = 4


class Executor:
    """Runs a program on a device, from any number of threads.

    Parameters
    ----------
    device : Device
    program : Program
    profiles : sequence of Profile
        As the program was built for.
    """

    def __init__(self, device: Device, program: Program, profiles: Sequence[Profile]) -> None:
        self._device, self._program, self._profiles = device, program, tuple(profiles)
        self._lanes: dict[int, _Lane] = {}
        self._guard = threading.Lock()
        self._limits: dict[tuple[int, int], int] = {}
        self._lost: str | None = None

    def run(self, images: Images) -> Images:
        """Run the program over a batch of any length.

        What does not fit into memory at once goes in smaller chunks; a chunk that runs out of
        memory is halved, and later batches of that size start with the smaller one.

        Parameters
        ----------
        images : ndarray of float32, shape (N, 1, H, W)
            Contiguous; H and W within a profile.

        Raises
        ------
        EngineMemoryError
            If memory does not suffice for one image.
        DeviceLostError
            If the device failed for this process; every later call fails at once.
        EngineError
            If no profile takes the size, or the program fails.
        """
        if self._lost is not None:
            raise DeviceLostError(self._lost)
        count, rows, columns = images.shape[0], images.shape[2], images.shape[3]
        number = profile_for(self._profiles, rows, columns)
        result = np.empty_like(images)
        done = 0
        try:
            self._device.activate()
            lane = self._lane()
            while done < count:
                done += self._some(lane, number, images[done:], result[done:])
        except DeviceLostError as error:
            self._lost = str(error)
            raise
        return result

    def _some(self, lane: _Lane, profile: int, images: Images, result: Images) -> int:
        """Run as much as works with one length of chunk; returns how many images are done."""
        place = images.shape[2], images.shape[3]
        most = self._limits.get(place, self._profiles[profile].most[0])
        most = self._fit(lane, min(most, len(images)), place)
        finished = _Finished()
        try:
            lane.run(profile, most, images, result, finished)
        except DeviceMemoryError as error:
            lane.free()
            if finished.images:
                return finished.images
            if most == 1:
                raise EngineMemoryError(
                    f"the device has no memory for one image of {place[1]} x {place[0]}: {error}"
                ) from error
            self._limits[place] = most // 2
        except DeviceLostError:
            raise
        except EngineError:
            lane.drain()  # says so if the device is lost, which the program cannot tell
            raise
        return finished.images

    def _fit(self, lane: _Lane, count: int, place: tuple[int, int]) -> int:
        """As many images as the free memory holds; input and output lie twice on the device."""
        room = _SHARE * (self._device.free_bytes() + lane.held_bytes)
        while count > 1 and 4 * count * place[0] * place[1] * _BYTES > room:
            count //= 2
        return count

    def close(self) -> None:
        """Free all lanes and the program; no thread may be running."""
        with self._guard:
            lanes, self._lanes = list(self._lanes.values()), {}
        if self._lost is None:
            self._device.activate()
            for lane in lanes:
                lane.close()
        self._program.close()

    def _lane(self) -> _Lane:
        with self._guard:
            own = threading.get_ident()
            if own not in self._lanes:
                self._lanes[own] = _Lane(self._device, self._program)
            return self._lanes[own]


@dataclass(slots=True)
class _Finished:
    """How many images have come back, also when an error ended the run."""

    images: int = 0


@dataclass(slots=True)
class _Ready:
    """A context of one slot and size, and its graph once it has one."""

    context: ExecutionContext
    graph: Handle = 0
    warm: bool = False
    capturable: bool = True


class _Slot:
    """Memory and events of one chunk on its way."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self.uploaded, self.computed, self.downloaded = (device.open_event() for _ in range(3))
        self.source: Handle = 0
        self.target: Handle = 0
        self.size = 0
        self.pinned_in: NDArray[np.uint8] | None = None
        self.pinned_out: NDArray[np.uint8] | None = None

    def take(self, size: int) -> None:
        """Hold `size` bytes each of input and output, pinned and on the device."""
        self.free()
        self.source = self._device.allocate(size)
        self.target = self._device.allocate(size)
        self.pinned_in = self._device.pin(size)
        self.pinned_out = self._device.pin(size)
        self.size = size

    def free(self) -> None:
        for address in (self.source, self.target):
            if address:
                self._device.release(address)
        for memory in (self.pinned_in, self.pinned_out):
            if memory is not None:
                self._device.unpin(memory)
        self.source = self.target = self.size = 0
        self.pinned_in = self.pinned_out = None

    def close(self) -> None:
        self.free()
        for event in (self.uploaded, self.computed, self.downloaded):
            self._device.close_event(event)


class _Lane:
    """Streams, slots, contexts and graphs of one thread."""

    def __init__(self, device: Device, program: Program) -> None:
        self._device, self._program = device, program
        self._copy, self._compute = device.open_stream(), device.open_stream()
        self._slots = (_Slot(device), _Slot(device))
        self._scratch: Handle = 0
        self._scratch_bytes = 0
        self._ready: OrderedDict[tuple[int, int, Size], _Ready] = OrderedDict()

    @property
    def held_bytes(self) -> int:
        """Device memory that it holds."""
        return self._scratch_bytes + sum(2 * slot.size for slot in self._slots)

    def run(
        self, profile: int, most: int, images: Images, result: Images, finished: _Finished
    ) -> None:
        """Run `images` in chunks of at most `most`, in the order in which they come."""
        shape = images.shape[2], images.shape[3]
        starts = range(0, len(images), most)
        self._reserve(most * shape[0] * shape[1] * _BYTES)
        for number, start in enumerate(starts):
            slot = self._slots[number % 2]
            chunk = images[start : start + most]
            if number > 1:
                self._device.wait_here(slot.uploaded)
            _view(slot.pinned_in, chunk.shape)[...] = chunk
            size = len(chunk), *shape
            ready = self._prepare(number % 2, profile, size)
            self._device.upload(slot.source, _view(slot.pinned_in, chunk.shape), self._copy)
            self._device.record(slot.uploaded, self._copy)
            self._device.wait(self._compute, slot.uploaded)
            self._queue(ready)
            self._device.record(slot.computed, self._compute)
            if number:
                self._fetch(number - 1, starts, images)
            if number > 1:
                self._collect(number - 2, starts, result, finished)
        self._fetch(len(starts) - 1, starts, images)
        for number in range(max(0, len(starts) - 2), len(starts)):
            self._collect(number, starts, result, finished)

    def _fetch(self, number: int, starts: range, images: Images) -> None:
        slot = self._slots[number % 2]
        shape = images[starts[number] : starts[number] + starts.step].shape
        self._device.wait(self._copy, slot.computed)
        self._device.download(_view(slot.pinned_out, shape), slot.target, self._copy)
        self._device.record(slot.downloaded, self._copy)

    def _collect(self, number: int, starts: range, result: Images, finished: _Finished) -> None:
        slot = self._slots[number % 2]
        place = result[starts[number] : starts[number] + starts.step]
        self._device.wait_here(slot.downloaded)
        place[...] = _view(slot.pinned_out, place.shape)
        finished.images += len(place)

    def _queue(self, ready: _Ready) -> None:
        """Queue the network: as a graph if there is one, which the second run of a size makes."""
        if ready.warm and not ready.graph and ready.capturable:
            self._device.drain(self._compute)
            ready.graph = self._captured(ready.context)
            ready.capturable = bool(ready.graph)
        if ready.graph:
            self._device.launch(ready.graph, self._compute)
        else:
            ready.context.enqueue(self._compute)
            ready.warm = True

    def _captured(self, context: ExecutionContext) -> Handle:
        """A graph of the context's network, or 0 if it cannot be captured."""
        self._device.begin_capture(self._compute)
        try:
            context.enqueue(self._compute)
        except (DeviceLostError, EngineMemoryError):
            self._device.end_capture(self._compute)
            raise
        except EngineError:
            if graph := self._device.end_capture(self._compute):
                self._device.close_graph(graph)
            return 0
        return self._device.end_capture(self._compute)

    def _prepare(self, place: int, profile: int, size: Size) -> _Ready:
        key = place, profile, size
        if key in self._ready:
            self._ready.move_to_end(key)
            return self._ready[key]
        context = self._program.context(profile, size, self._compute)
        if context.scratch_bytes > self._scratch_bytes:
            self.drain()
            self._forget()
            self._free_scratch()
            self._scratch = self._device.allocate(context.scratch_bytes)
            self._scratch_bytes = context.scratch_bytes
        slot = self._slots[place]
        context.bind(slot.source, slot.target, self._scratch)
        self._ready[key] = _Ready(context)
        if len(self._ready) > _GRAPHS:
            self.drain()
            _, old = self._ready.popitem(last=False)
            if old.graph:
                self._device.close_graph(old.graph)
        return self._ready[key]

    def _reserve(self, size: int) -> None:
        if all(slot.size >= size for slot in self._slots):
            return
        self.drain()
        self._forget()
        for slot in self._slots:
            slot.take(size)

    def drain(self) -> None:
        """Wait until nothing is queued."""
        self._device.drain(self._copy)
        self._device.drain(self._compute)

    def _forget(self) -> None:
        """Drop contexts and graphs, whose addresses are about to change."""
        for ready in self._ready.values():
            if ready.graph:
                self._device.close_graph(ready.graph)
        self._ready.clear()

    def _free_scratch(self) -> None:
        if self._scratch:
            self._device.release(self._scratch)
        self._scratch = self._scratch_bytes = 0

    def free(self) -> None:
        """Give all memory back; the next run takes what it needs."""
        self.drain()
        self._forget()
        self._free_scratch()
        for slot in self._slots:
            slot.free()

    def close(self) -> None:
        """Give everything back; a device that fails now cannot be helped."""
        with suppress(EngineError):
            self.free()
            for slot in self._slots:
                slot.close()
            for stream in (self._copy, self._compute):
                self._device.close_stream(stream)


def _view(memory: NDArray[np.uint8] | None, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """The first bytes of pinned memory as images."""
    if memory is None:
        raise EngineError("a slot was used before it had memory")
    count = int(np.prod(shape)) * _BYTES
    return memory[:count].view(np.float32).reshape(shape)

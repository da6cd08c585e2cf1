import ctypes
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from model_store.engines.base import DeviceLostError
from model_store.engines.tensorrt.cuda import CudaDevice
from model_store.engines.tensorrt.device import (
    DeviceMemoryError,
    count_devices,
    require_device,
)
from model_store.errors import EngineError, EngineUnavailableError

_VALUES = {16: 132, 37: 6144, 38: 60 << 20, 32: 1, 97: 232448, 81: 233472, 75: 9, 76: 0}


class Driver:
    """Plays libcuda: every function succeeds unless its result is set; handles count up."""

    def __init__(self, **results: int) -> None:
        self.results = results
        self.called: list[str] = []
        self._host = (ctypes.c_uint8 * 4096)()

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("cu"):
            raise AttributeError(name)
        driver = self

        class Function:
            def __call__(self, *arguments: Any) -> int:
                driver.called.append(name)
                driver._fill(name, arguments)
                return driver.results.get(name, 0)

        return Function()

    def _fill(self, name: str, arguments: tuple[Any, ...]) -> None:
        if name == "cuDeviceGetName":
            arguments[0].value = b"NVIDIA H200"
        elif name == "cuDeviceGetAttribute":
            arguments[0]._obj.value = _VALUES[arguments[1]]
        elif name == "cuMemHostAlloc":
            arguments[0]._obj.value = ctypes.addressof(self._host)
        elif name == "cuDriverGetVersion":
            arguments[0]._obj.value = 13020
        else:
            for argument in arguments:
                if hasattr(argument, "_obj"):
                    argument._obj.value = 1 << 20


def test_a_device_says_what_it_is() -> None:
    about = CudaDevice(Driver()).properties
    assert (about.name, about.capability, about.processors) == ("NVIDIA H200", "9.0", 132)
    assert about.compute_capability == (9, 0)
    assert about.ecc
    assert about.driver.endswith("CUDA 13.2")


@pytest.mark.parametrize(
    ("code", "kind"),
    [(2, DeviceMemoryError), (700, DeviceLostError), (719, DeviceLostError),
     (214, DeviceLostError), (999, DeviceLostError), (1, EngineError)],
)  # fmt: skip
def test_results_of_the_driver_become_our_errors(code: int, kind: type[EngineError]) -> None:
    driver = Driver()
    device = CudaDevice(driver)
    driver.results["cuMemAlloc_v2"] = code
    with pytest.raises(EngineError, match=f"cuMemAlloc_v2 gave CUDA error {code}") as caught:
        device.allocate(10)
    assert type(caught.value) is kind


def test_a_driver_without_a_device_is_unavailable() -> None:
    with pytest.raises(EngineUnavailableError, match="error 100"):
        CudaDevice(Driver(cuInit=100))


def test_a_capture_that_the_driver_gives_up_is_no_error() -> None:
    driver = Driver(cuStreamEndCapture=901)
    assert CudaDevice(driver).end_capture(1) == 0
    assert "cuGraphInstantiateWithFlags" not in driver.called


def test_a_capture_becomes_a_graph_and_leaves_no_template() -> None:
    driver = Driver()
    assert CudaDevice(driver).end_capture(1)
    assert driver.called[-3:] == [
        "cuStreamEndCapture", "cuGraphInstantiateWithFlags", "cuGraphDestroy",
    ]  # fmt: skip


def test_pinned_memory_is_an_array_on_what_the_driver_gave() -> None:
    driver = Driver()
    device = CudaDevice(driver)
    memory = device.pin(64)
    memory[...] = 7
    assert (memory.dtype, memory.shape) == (np.uint8, (64,))
    assert bytes(driver._host[:65]) == b"\7" * 64 + b"\0"
    device.unpin(memory)
    assert driver.called[-1] == "cuMemFreeHost"


def test_everything_else_is_one_call_of_the_driver() -> None:
    driver = Driver()
    device = CudaDevice(driver)
    memory = device.pin(64).view(np.float32)
    stream, event, place = device.open_stream(), device.open_event(), device.allocate(64)
    calls: list[Callable[[], Any]] = [
        device.activate, device.free_bytes, lambda: device.upload(place, memory, stream),
        lambda: device.download(memory, place, stream), lambda: device.record(event, stream),
        lambda: device.wait(stream, event), lambda: device.wait_here(event),
        lambda: device.drain(stream), lambda: device.begin_capture(stream),
        lambda: device.launch(1, stream), lambda: device.close_graph(1),
        lambda: device.close_event(event), lambda: device.close_stream(stream),
        lambda: device.release(place), device.close,
    ]  # fmt: skip
    before = len(driver.called)
    for call in calls:
        call()
    assert len(driver.called) == before + len(calls)
    device.close()
    assert len(driver.called) == before + len(calls)


def test_a_forked_process_has_no_device(monkeypatch: pytest.MonkeyPatch) -> None:
    device = CudaDevice(Driver())
    monkeypatch.setattr(os, "getpid", lambda: -1)
    with pytest.raises(DeviceLostError, match="fork"):
        device.activate()


def _answer(code: int, out: str = "", err: str = "") -> Callable[..., Any]:
    return lambda *_, **__: SimpleNamespace(returncode=code, stdout=out, stderr=err)


def test_devices_are_counted_by_another_process() -> None:
    assert count_devices(_answer(0, "2\n")) == 2
    with pytest.raises(EngineUnavailableError, match="no CUDA device: there is no NVIDIA driver"):
        count_devices(_answer(1, err="there is no NVIDIA driver"))
    with pytest.raises(EngineUnavailableError, match="ended with exit code -11"):
        count_devices(_answer(-11))


def test_a_driver_that_does_not_answer_is_said() -> None:
    def hangs(*_: Any, **__: Any) -> Any:
        raise subprocess.TimeoutExpired("python", 60)

    with pytest.raises(EngineUnavailableError, match="cannot be queried"):
        count_devices(hangs)


def test_the_question_is_a_program_that_runs() -> None:
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        with pytest.raises(EngineUnavailableError, match="no NVIDIA driver"):
            require_device()
        return
    assert count_devices() >= 0


def test_no_function_is_named_that_an_old_interface_replaced() -> None:
    source = Path(__file__).parents[5] / "model_store" / "engines" / "tensorrt" / "cuda.py"
    names = set(re.findall(r'"(cu[A-Z]\w+)"', source.read_text(encoding="utf-8")))
    renewed = {"cuMemAlloc", "cuMemFree", "cuMemGetInfo", "cuStreamDestroy", "cuEventDestroy",
               "cuMemcpyHtoDAsync", "cuMemcpyDtoHAsync", "cuDevicePrimaryCtxRelease",
               "cuDeviceTotalMem", "cuStreamBeginCapture"}  # fmt: skip
    assert not names & renewed

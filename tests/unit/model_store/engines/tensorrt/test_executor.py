import threading

import numpy as np
import pytest

from model_store.engines.base import DeviceLostError, EngineMemoryError
from model_store.engines.tensorrt.executor import Executor
from model_store.engines.tensorrt.profile import Profile, Size
from model_store.engines.tensorrt.program import ExecutionContext
from model_store.errors import EngineError
from tests.support.factories.device import FakeDevice, TwicePlusOne

PROFILES = (
    Profile("slices", (1, 2, 2), (4, 8, 8), (4, 8, 8)),
    Profile("tiles", (1, 2, 2), (1, 32, 32), (1, 32, 32)),
)


def made(budget: int = 1 << 30) -> tuple[FakeDevice, TwicePlusOne, Executor]:
    device = FakeDevice(budget)
    program = TwicePlusOne(device)
    return device, program, Executor(device, program, PROFILES)


def images(count: int, rows: int = 8, columns: int = 6) -> np.ndarray:
    rng = np.random.default_rng(count)
    return rng.random((count, 1, rows, columns), dtype=np.float32)


@pytest.mark.parametrize("count", [1, 3, 4, 5, 8, 9, 13, 30])
def test_every_image_of_a_batch_comes_back_in_its_place(count: int) -> None:
    device, _, executor = made()
    for _ in range(3):  # plain, warmed up, as graphs
        batch = images(count)
        np.testing.assert_array_equal(executor.run(batch), 2 * batch + 1)
    assert device.launched > 0


def test_a_caller_owns_its_result() -> None:
    _, _, executor = made()
    first = executor.run(images(5))
    kept = first.copy()
    executor.run(images(6))
    np.testing.assert_array_equal(first, kept)


def test_sizes_take_turns_and_large_ones_go_one_by_one() -> None:
    _, program, executor = made()
    for shape in [(3, 8, 8), (2, 32, 20), (9, 4, 4), (3, 8, 8), (2, 32, 20), (1, 32, 32)] * 2:
        batch = images(*shape)
        np.testing.assert_array_equal(executor.run(batch), 2 * batch + 1)
    assert {size[0] for profile, size, _ in program.contexts if profile == 1} == {1}


def test_a_size_beyond_the_profiles_says_what_to_set() -> None:
    _, _, executor = made()
    with pytest.raises(EngineError, match="tile to at most 32"):
        executor.run(images(1, 34, 8))


def test_graphs_are_launched_from_the_second_run_on() -> None:
    device, _, executor = made()
    executor.run(images(1))
    assert not device.launched
    executor.run(images(1))
    executor.run(images(1))
    assert (device.launched, len(device.graphs)) == (2, 1)


def test_what_cannot_be_captured_is_run_without_a_graph() -> None:
    device, _, executor = made()
    device.capturable = False
    for _ in range(3):
        batch = images(7)
        np.testing.assert_array_equal(executor.run(batch), 2 * batch + 1)
    assert not device.launched


def test_graphs_do_not_pile_up() -> None:
    device, _, executor = made()
    for _ in range(2):
        for rows in range(2, 33):
            executor.run(images(1, rows, 2))
            executor.run(images(1, rows, 2))
    assert len(device.graphs) <= 16


@pytest.mark.parametrize("budget", [1 << 30, 6000, 4000, 2000, 1000])
def test_less_memory_means_smaller_chunks(budget: int) -> None:
    device, program, executor = made(budget)
    for _ in range(3):
        batch = images(11)
        np.testing.assert_array_equal(executor.run(batch), 2 * batch + 1)
    largest = max(size[0] for _, size, _ in program.contexts)
    assert largest == 4 if budget > 6000 else largest <= 4
    assert device.free_bytes() >= 0


def test_the_smaller_chunk_is_remembered() -> None:
    _, program, executor = made(3000)  # four at once fit without their scratch, not with it
    executor.run(images(12))
    before = len(program.contexts)
    executor.run(images(12))
    assert all(size[0] <= 2 for _, size, _ in program.contexts[before:])


def test_no_memory_for_one_image_is_said() -> None:
    device, _, executor = made(500)
    with pytest.raises(EngineMemoryError, match="one image of 6 x 8"):
        executor.run(images(2))
    device.budget = 1 << 20
    batch = images(2)
    np.testing.assert_array_equal(executor.run(batch), 2 * batch + 1)


def test_memory_that_is_taken_by_others_in_between_halves_the_batch() -> None:
    device, _, executor = made()
    executor.run(images(1))
    device.budget = 2500
    batch = images(12)
    np.testing.assert_array_equal(executor.run(batch), 2 * batch + 1)


def test_a_lost_device_stays_lost() -> None:
    device, program, executor = made()
    executor.run(images(2))
    device.lost = True
    with pytest.raises(DeviceLostError):
        executor.run(images(2))
    device.lost = False
    with pytest.raises(DeviceLostError):
        executor.run(images(2))
    executor.close()
    assert program.closed


class Faulty(TwicePlusOne):
    """Its networks cannot be queued; if the device is to go with it, nothing works after that."""

    def __init__(self, device: FakeDevice, *, loses: bool) -> None:
        super().__init__(device)
        self.loses = loses

    def context(self, profile: int, size: Size, stream: int) -> ExecutionContext:
        made = super().context(profile, size, stream)

        def fails(stream: int) -> None:
            self.device.lost = self.loses
            raise EngineError("running failed: no reason given")

        made.enqueue = fails  # type: ignore[method-assign]
        return made


def test_a_fault_of_the_program_is_the_devices_if_that_is_lost() -> None:
    device = FakeDevice()
    executor = Executor(device, Faulty(device, loses=True), PROFILES)
    with pytest.raises(DeviceLostError):
        executor.run(images(2))
    device.lost = False
    with pytest.raises(DeviceLostError):
        executor.run(images(2))


def test_a_fault_of_the_program_alone_is_no_lost_device() -> None:
    device = FakeDevice()
    executor = Executor(device, Faulty(device, loses=False), PROFILES)
    with pytest.raises(EngineError, match="no reason given") as found:
        executor.run(images(2))
    assert not isinstance(found.value, DeviceLostError)


class Watched(FakeDevice):
    """Notes what is queued, and for what the host waits, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.order: list[str] = []

    def upload(self, target: int, source: np.ndarray, stream: int) -> None:
        self.order.append("up")
        super().upload(target, source, stream)

    def download(self, target: np.ndarray, source: int, stream: int) -> None:
        self.order.append("down")
        super().download(target, source, stream)

    def launch(self, graph: int, stream: int) -> None:
        self.order.append("run")
        super().launch(graph, stream)

    def wait_here(self, event: int) -> None:
        self.order.append("wait")
        super().wait_here(event)

    def drain(self, stream: int) -> None:
        self.order.append("drain")
        super().drain(stream)


def test_the_next_chunk_is_copied_while_one_is_computed() -> None:
    device = Watched()
    executor = Executor(device, TwicePlusOne(device), PROFILES)
    for _ in range(4):
        executor.run(images(12))
    device.order.clear()
    executor.run(images(12))
    assert device.order == [
        "up", "run",  # the first chunk
        "up", "run", "down",  # the second is queued before anybody waits for the first
        "wait", "up", "run", "down", "wait",  # its memory free again, the third; the first is back
        "down", "wait", "wait",
    ]  # fmt: skip


def test_copies_go_through_pinned_memory_only() -> None:
    device = FakeDevice()
    seen: list[int] = []
    upload, download = device.upload, device.download

    def note_upload(target: int, source: np.ndarray, stream: int) -> None:
        seen.append(source.ctypes.data)
        upload(target, source, stream)

    def note_download(target: np.ndarray, source: int, stream: int) -> None:
        seen.append(target.ctypes.data)
        download(target, source, stream)

    device.upload, device.download = note_upload, note_download  # type: ignore[method-assign]
    Executor(device, TwicePlusOne(device), PROFILES).run(images(9))
    assert len(seen) == 6
    assert set(seen) == set(device.pinned)


def test_a_graph_is_captured_once_for_each_slot_and_size() -> None:
    device, _, executor = made()
    for _ in range(5):
        executor.run(images(8))  # two chunks of four, one in each slot
        executor.run(images(1, 32, 32))
    assert len(device.graphs) == 3


def test_every_thread_has_its_own_contexts() -> None:
    device, program, executor = made()
    wrong: list[str] = []

    def work(number: int) -> None:
        for _ in range(5):
            batch = images(number + 5)
            if not np.array_equal(executor.run(batch), 2 * batch + 1):
                wrong.append(f"thread {number}")
            together.wait()

    together = threading.Barrier(3)
    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert not wrong
    assert len({thread for _, _, thread in program.contexts}) == 3
    assert len(device.streams) == 6


def test_closing_gives_everything_back() -> None:
    device, program, executor = made()
    for count in (1, 9, 9, 9):
        executor.run(images(count))
    executor.close()
    assert device.held == 0
    assert program.closed

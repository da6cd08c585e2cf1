import threading

import numpy as np
import pytest

from model_store.engines.base import DeviceLostError, EngineMemoryError
from model_store.engines.tensorrt.executor import Executor
from model_store.engines.tensorrt.profile import Profile
from model_store.errors import EngineError
from tests.factories.device import FakeDevice, TwicePlusOne

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

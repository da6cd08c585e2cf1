from pathlib import Path

import numpy as np
import pytest

from model_store.engines.base import Engine, EngineMemoryError, Images
from model_store.engines.rates import measure
from model_store.store import ModelVersion
from tests.support.factories.models import model_version


class Clock:
    """Time that passes only while an engine works."""

    def __init__(self) -> None:
        self.at = 0.0

    def __call__(self) -> float:
        return self.at


class Steady(Engine):
    """Takes as long for an image as it is told; notes its calls."""

    def __init__(
        self, version: ModelVersion, clock: Clock, name: str, seconds: float, *, batch: int = 1
    ) -> None:
        super().__init__(
            version.ref, name=name, precision="f32", device="here", preferred_batch=batch
        )
        self.clock, self.seconds = clock, seconds
        self.calls: list[tuple[int, ...]] = []
        self.largest = 1 << 30
        self.order: list[str] = []

    def _run(self, images: Images) -> Images:
        if images.shape[2] > self.largest:
            raise EngineMemoryError("played: too large")
        self.calls.append(images.shape)
        self.order.append(self.name)
        self.clock.at += self.seconds * len(images)
        return np.zeros_like(images)

    def close(self) -> None:
        pass


@pytest.fixture
def version(tmp_path: Path) -> ModelVersion:
    return model_version(tmp_path)


def test_rates_are_images_of_the_median_call(version: ModelVersion) -> None:
    clock = Clock()
    slow, fast = Steady(version, clock, "a", 0.5), Steady(version, clock, "b", 0.1, batch=4)
    found = measure([slow, fast], [(16, 16)], 20, clock=clock).rates
    assert [rate.images_per_second for rate in found] == pytest.approx([2, 10])
    assert [rate.batch for rate in found] == [1, 4]
    assert [rate.spread for rate in found] == pytest.approx([0, 0])
    assert found[0].rounds == found[1].rounds > 10
    assert clock.at < 21.2


def test_engines_take_turns_and_another_is_first_each_round(version: ModelVersion) -> None:
    clock, order = Clock(), list[str]()
    engines = [Steady(version, clock, name, 0.1) for name in "abc"]
    for engine in engines:
        engine.order = order
    measure(engines, [(16, 16)], 1.5, clock=clock)
    assert "".join(order).startswith("aabbcc" + "abc" + "bca" + "cab")


def test_at_the_first_size_everybody_is_timed_once(version: ModelVersion) -> None:
    clock = Clock()
    engines = [Steady(version, clock, name, 5) for name in "ab"]
    found = measure(engines, [(16, 16)], 0.5, clock=clock)
    assert [(rate.engine, rate.rounds) for rate in found.rates] == [(0, 1), (1, 1)]
    assert clock.at == 2 * 2 * 5


def test_at_a_later_size_the_slow_are_left_out(version: ModelVersion) -> None:
    clock = Clock()
    engines = [Steady(version, clock, name, seconds) for name, seconds in (("a", 5), ("b", 1))]
    found = measure(engines, [(16, 16), (32, 32)], 40, clock=clock)
    assert [(rate.engine, rate.size[0]) for rate in found.rates] == [(0, 16), (1, 16), (1, 32)]
    (late,) = found.left_out
    assert (late.engine, late.size, late.why) == (0, (32, 32), "no time: a call takes about 20 s")
    quick = measure(engines[1:], [(16, 16), (32, 32)], 1, clock=clock)
    assert [rate.size[0] for rate in quick.rates] == [16, 32]


def test_large_images_go_one_by_one_and_lack_of_memory_leaves_an_engine_out(
    version: ModelVersion,
) -> None:
    clock, told = Clock(), list[str]()
    many, small = Steady(version, clock, "a", 0.1, batch=8), Steady(version, clock, "b", 0.1)
    small.largest = 512
    found = measure([many, small], [(512, 512), (528, 528)], 9, clock=clock, tell=told.append)
    assert [(rate.engine, rate.size[0], rate.batch) for rate in found.rates] == [
        (0, 512, 8), (1, 512, 1), (0, 528, 1),
    ]  # fmt: skip
    assert [(each.engine, each.why) for each in found.left_out] == [(1, "played: too large")]
    assert told == ["measuring 512 x 512", "measuring 528 x 528"]

"""One item harms only itself: what nobody thought of is its own try, and its batch goes on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from structlog.testing import capture_logs

from dicom_node.dicom.part10 import Part10File
from dicom_node.errors import FailItem, RetryLater
from dicom_node.ledger import batches, recall
from dicom_node.ledger.tables import BatchRow, WorkItemRow
from model_store.engines.base import DeviceLostError
from tests.support.batches import item_tries
from tests.support.denoising import (
    FakeDenoisers,
    pipeline_of,
    reasons,
    receive,
    slice_bytes,
    states,
    work,
)
from tests.support.ledgers import TWO_ROUTES, Life
from workers import pipeline as stages
from workers.encode import encode
from workers.load import load
from workers.pipeline import BatchObserver, Pipeline

TREE = TWO_ROUTES | {"routes": TWO_ROUTES["routes"][:1], "batching": {"instances": 16}}
COUNT = 9
POISON = 5


@pytest.fixture
def tree() -> dict[str, Any]:
    return TREE


Poison = Callable[[pytest.MonkeyPatch, FakeDenoisers, type[Exception]], None]


def in_load(patch: pytest.MonkeyPatch, _: FakeDenoisers, kind: type[Exception]) -> None:
    def poisoned(path: Path, *, name: str) -> Any:
        if name == f"1.2.4.{POISON}":
            raise kind("PHI MARKER")
        return load(path, name=name)

    patch.setattr(stages, "load", poisoned)


def in_infer(_: pytest.MonkeyPatch, denoisers: FakeDenoisers, kind: type[Exception]) -> None:
    def before(frames: Sequence[Any]) -> None:
        if any(float(frame.values[0, 0]) == 77.0 for frame in frames):
            raise kind("PHI MARKER")

    denoisers.before = before


def in_encode(patch: pytest.MonkeyPatch, _: FakeDenoisers, kind: type[Exception]) -> None:
    def poisoned(source: Any, *rest: Any) -> Part10File:
        if source.uid == f"1.2.4.{POISON}":
            raise kind("PHI MARKER")
        return encode(source, *rest)

    patch.setattr(stages, "encode", poisoned)


def receive_poison(life: Life) -> None:
    import numpy as np  # noqa: PLC0415

    odd = slice_bytes(POISON, PixelData=np.full((16, 16), 77 + 1024, "<i2").tobytes())
    receive(life, COUNT, **{f"n{POISON}": odd})


DONE = ["denoised"] * COUNT


def with_poison(state: str) -> list[str]:
    return [*DONE[: POISON - 1], state, *DONE[POISON:]]


@pytest.mark.parametrize("poison", [in_load, in_infer, in_encode])
@pytest.mark.parametrize("kind", [ZeroDivisionError, MemoryError, RecursionError])
def test_the_others_are_recorded_in_the_same_pass_and_the_one_fails_at_its_third_try(
    life: Life, denoisers: FakeDenoisers, poison: Poison, kind: type[Exception], request: Any
) -> None:
    pipeline = request.getfixturevalue("pipeline")
    poison(request.getfixturevalue("monkeypatch"), denoisers, kind)
    receive_poison(life)
    with capture_logs() as lines:
        work(life, pipeline)
        assert states(life) == with_poison("planned")
        assert item_tries(life) == [1] * COUNT
        for _ in range(2):
            assert states(life) == with_poison("planned")
            life.clock.advance(3600)
            work(life, pipeline)
    assert states(life) == with_poison("failed")
    reason = str(reasons(life)[POISON - 1])
    assert reason.startswith(f"given up after 3 tries: {kind.__name__} at ")
    assert "test_pipeline_faults.py:" in reason
    assert "called from workers/" in reason
    assert "study retry" in reason
    assert "MARKER" not in reason
    faults = [line for line in lines if line["event"] == "item.fault"]
    assert [line["tries"] for line in faults] == [1, 2, 3]
    assert {row.state for row in life.rows(select(BatchRow.state))} == {"done"}


def test_what_is_waited_for_costs_no_try_and_what_is_at_fault_beside_it_does(
    life: Life, pipeline: Pipeline, denoisers: FakeDenoisers, monkeypatch: pytest.MonkeyPatch
) -> None:
    def poisoned(path: Path, *, name: str) -> Any:
        if name == "1.2.4.1":
            raise RetryLater(f"{name}: input/output error")
        if name == f"1.2.4.{POISON}":
            raise ZeroDivisionError
        return load(path, name=name)

    monkeypatch.setattr(stages, "load", poisoned)
    receive_poison(life)
    for _ in range(5):
        work(life, pipeline)
        life.clock.advance(3600)
    assert states(life) == ["planned", *with_poison("failed")[1:]]
    assert item_tries(life)[0] == 0
    monkeypatch.setattr(stages, "load", load)
    work(life, pipeline)
    assert states(life) == with_poison("failed")


def test_a_frame_that_never_fits_into_memory_holds_up_nothing_else(
    life: Life, pipeline: Pipeline, denoisers: FakeDenoisers, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_infer(monkeypatch, denoisers, RetryLater)
    receive_poison(life)
    work(life, pipeline)
    assert states(life) == with_poison("planned")


def test_a_lost_device_ends_the_worker_and_counts(
    life: Life, pipeline: Pipeline, denoisers: FakeDenoisers, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_infer(monkeypatch, denoisers, DeviceLostError)
    receive_poison(life)
    with pytest.raises(DeviceLostError):
        work(life, pipeline)
    assert item_tries(life)[POISON - 1] == 1
    assert states(life)[POISON - 1] == "planned"


def test_who_only_looks_harms_nothing(life: Life, denoisers: FakeDenoisers) -> None:
    class Blind(BatchObserver):
        def saw(self, inferred: Sequence[Any]) -> None:
            raise ZeroDivisionError("PHI MARKER")

    receive(life, COUNT)
    work(life, pipeline_of(life, denoisers, observer=lambda _: Blind()))
    assert states(life) == DONE


def test_a_worker_that_dies_counts_and_one_that_stops_in_order_does_not(life: Life) -> None:
    receive(life, 3)
    (batch_id,) = life.due_batches()
    batch = life.claim(batch_id, "w:1")
    assert batch is not None
    assert [item.tries for item in batch.items] == [1] * 3
    with life.ledger.write() as unit:
        batches.give_back(unit, batch, after=None, why="the worker stops")
    assert item_tries(life) == [0] * 3
    assert life.claim(batch_id, "w:1") is not None
    life.clock.advance(3600)
    life.upkeep.catch_up()
    assert item_tries(life) == [1] * 3
    again = life.claim(batch_id, "w:2")
    assert again is not None
    assert [item.tries for item in again.items] == [2] * 3


def test_one_that_was_found_among_workers_that_died_is_told_by_its_own_tries(
    life: Life, pipeline: Pipeline, denoisers: FakeDenoisers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch that cost three workers is split; whoever is innocent then ends as ever."""
    receive_poison(life)
    (batch_id,) = life.due_batches()
    for number in range(3):
        assert life.claim(batch_id, f"w:{number}") is not None
        life.clock.advance(3600)
        life.upkeep.catch_up()
    assert life.claim(batch_id, "w:3") is None
    assert item_tries(life) == [2] * COUNT
    in_load(monkeypatch, denoisers, ZeroDivisionError)
    work(life, pipeline)
    assert states(life) == with_poison("failed")


def test_a_person_gives_three_tries_more(
    life: Life, pipeline: Pipeline, denoisers: FakeDenoisers, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_load(monkeypatch, denoisers, ZeroDivisionError)
    receive_poison(life)
    for _ in range(3):
        work(life, pipeline)
        life.clock.advance(3600)
    (failed,) = life.rows(select(WorkItemRow.id).where(WorkItemRow.state == "failed"))
    with life.ledger.write() as unit:
        recall.retry(unit, [failed.id])
    life.planner.plan()
    life.clock.advance(10)
    life.planner.close_batches()
    work(life, pipeline)
    assert states(life) == with_poison("planned")
    assert item_tries(life)[POISON - 1] == 1


def test_an_engine_that_fails_for_all_is_each_ones_own_verdict(
    life: Life, pipeline: Pipeline, denoisers: FakeDenoisers
) -> None:
    def before(frames: Sequence[Any]) -> None:
        raise FailItem("the engine gave values that are not finite numbers")

    denoisers.before = before
    receive(life, 3)
    work(life, pipeline)
    assert states(life) == ["failed"] * 3

"""What a worker takes next: what is urgent, what it can run, and what it leaves to others."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from dicom_node.bell.outbox import Queue
from dicom_node.errors import ModelNotHere
from dicom_node.ledger.tables import BatchRow
from model_store.ref import ModelRef
from tests.support.denoising import (
    PATIENT,
    FakeDenoiser,
    FakeDenoisers,
    pipeline_of,
    reasons,
    receive,
    states,
)
from tests.support.factories import ct_slice, to_bytes
from tests.support.ledgers import Life
from workers.next_batch import LEFT_OUT_SECONDS, NextBatch
from workers.pipeline import Pipeline


def of_series(series: str) -> bytes:
    """The first slice of another series."""
    return to_bytes(
        ct_slice(
            size=(16, 16),
            StudyInstanceUID="1.2.3",
            SeriesInstanceUID=series,
            SOPInstanceUID=f"{series}.1",
            **PATIENT,
        )
    )


def two_models(life: Life) -> None:
    """A batch of version 1.0.0, and a later one of 2.0.0."""
    receive(life, 2)
    life.models.aliases["production"] = "2.0.0"
    life.models.look_again()
    life.receive("1.2.5.1", series="1.2.5", data=of_series("1.2.5"))
    life.planner.plan()
    life.clock.advance(10)
    life.planner.close_batches()


def worker_without(life: Life, *versions: str) -> Pipeline:
    denoisers = FakeDenoisers()
    whole = denoisers.get

    def get(ref: ModelRef) -> FakeDenoiser:
        if ref.version in versions:
            raise ModelNotHere(f"model {ref}: its files cannot be reached")
        return whole(ref)

    denoisers.get = get  # type: ignore[method-assign]
    return pipeline_of(life, denoisers)


def test_a_worker_without_a_model_leaves_its_batches_to_one_that_has_it(life: Life) -> None:
    two_models(life)
    without, complete = worker_without(life, "1.0.0"), worker_without(life)
    steps = 0
    while without.run_next():
        steps += 1
    assert steps == 2, "one batch was handed on, one was done; the first is not tried again"
    assert states(life) == ["planned", "planned", "denoised"]
    assert [row.attempts for row in life.rows(select(BatchRow.attempts).order_by(BatchRow.id))] == [
        0, 1,
    ]  # fmt: skip
    assert complete.run_next(), "it is due at once"
    assert states(life) == ["denoised"] * 3


def test_what_no_worker_can_run_waits_and_fails_nothing(life: Life) -> None:
    receive(life, 2)
    for _ in range(40):
        worker = worker_without(life, "1.0.0")
        assert worker.run_next()
        assert not worker.run_next()
        life.clock.advance(1800)
    assert states(life) == ["planned"] * 2
    assert worker_without(life).run_next()
    assert states(life) == ["denoised"] * 2


def test_what_no_worker_can_run_for_days_fails_with_the_reason(life: Life) -> None:
    receive(life, 1)
    life.clock.advance(80 * 3600)
    for _ in range(life.settings.workers.attempts + 1):
        worker_without(life, "1.0.0").run_next()
    assert states(life) == ["failed"]
    assert "its files cannot be reached" in str(reasons(life))


def test_a_worker_takes_what_is_urgent_whatever_the_ring_named(
    life: Life, pipeline: Pipeline
) -> None:
    for number in range(1, 4):
        series = f"1.2.{number + 10}"
        life.receive(f"{series}.1", series=series, data=of_series(series))
        life.planner.plan()
        life.clock.advance(10)
        life.planner.close_batches()
    order = []
    while pipeline.run_next():
        order.append([r.id for r in life.rows(
            select(BatchRow.id).where(BatchRow.state == "done").order_by(BatchRow.done_at)
        )])  # fmt: skip
    assert [set(b) - set(a) for a, b in zip([[], *order], order, strict=False)] == [{3}, {1}, {2}]


def test_whoever_takes_a_batch_calls_another_if_more_is_due(life: Life, pipeline: Pipeline) -> None:
    for number in range(1, 4):
        series = f"1.2.{number + 10}"
        life.receive(f"{series}.1", series=series, data=of_series(series))
    life.planner.plan()
    life.clock.advance(10)
    life.planner.close_batches()
    rung = []
    for _ in range(3):
        life.bell.rings.clear()
        assert pipeline.run_next()
        rung.append([ring.queue for ring in life.bell.rings].count(Queue.INFER))
    assert rung == [1, 1, 0]


def test_a_ring_for_nothing_writes_nothing(
    life: Life, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    receive(life, 1)
    assert pipeline.run_next()

    def write() -> None:
        raise AssertionError("something is written")

    monkeypatch.setattr(life.ledger, "write", write)
    assert not pipeline.run_next()


def test_a_model_that_could_not_be_run_is_tried_again_after_a_while(life: Life) -> None:
    receive(life, 3)
    seconds = [0.0]
    following = NextBatch(life.ledger, lambda: seconds[0])
    first = following.find()
    assert first is not None
    following.leave_out(ModelRef("toy", "1.0.0", "1" * 64))
    seconds[0] = LEFT_OUT_SECONDS - 1
    assert following.find() is None
    seconds[0] = LEFT_OUT_SECONDS
    assert following.find() == first
    following.leave_out(ModelRef("toy", "9.9.9", "9" * 64))
    assert following.find() == first

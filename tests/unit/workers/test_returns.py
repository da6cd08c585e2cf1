"""A batch that could not be finished: when it is due again, and whether that was a try."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select
from structlog.testing import capture_logs

from dicom_node.errors import FailItem, ModelNotHere, OutOfSpace, RetryLater
from dicom_node.ledger.tables import BatchRow
from tests.support.batches import item_tries
from tests.support.denoising import FakeDenoisers, reasons, receive, states
from tests.support.ledgers import Life
from workers import pipeline as stages
from workers.load import load
from workers.pipeline import Pipeline

HOUR = 3600.0


def the_batch(life: Life) -> tuple[float, int]:
    """Seconds until it is due, and tries."""
    ((due, tries),) = life.rows(select(BatchRow.due_at, BatchRow.attempts))
    return (due - life.clock()).total_seconds(), tries


def worked(life: Life, pipeline: Pipeline, age: float) -> tuple[float, int]:
    """What becomes of the batch when it is worked on `age` seconds after it was opened."""
    receive(life, 2)
    ((opened,),) = life.rows(select(BatchRow.opened_at))
    life.clock.advance((opened + timedelta(seconds=age) - life.clock()).total_seconds())
    (batch_id,) = life.due_batches()
    assert pipeline.run(batch_id)
    return the_batch(life)


@pytest.mark.parametrize(
    ("age", "wait"), [(10, 5), (60, 30), (1000, 500), (1200, 600), (5000, 600), (72 * HOUR, 600)]
)
def test_what_is_at_fault_outside_is_waited_for_half_as_long_again_up_to_ten_minutes(
    life: Life, pipeline: Pipeline, denoisers: FakeDenoisers, age: float, wait: float
) -> None:
    denoisers.fault = RetryLater("the store is away")
    with capture_logs() as lines:
        assert worked(life, pipeline, age) == (wait, 0)
    (line,) = [line for line in lines if line["event"] == "batch.waits"]
    assert (line["reason"], line["seconds"]) == ("the store is away", wait)


def test_what_stays_at_fault_for_longer_than_a_delivery_may_take_has_had_a_try(
    life: Life, pipeline: Pipeline, denoisers: FakeDenoisers
) -> None:
    denoisers.fault = RetryLater("the store is away")
    assert worked(life, pipeline, 72 * HOUR + 1) == (600, 1)


@pytest.mark.parametrize(("age", "tries"), [(60, 0), (72 * HOUR, 0), (72 * HOUR + 1, 1)])
def test_a_model_that_is_not_here_is_handed_on_at_once_which_is_no_try_for_days(
    life: Life, pipeline: Pipeline, denoisers: FakeDenoisers, age: float, tries: int
) -> None:
    denoisers.fault = ModelNotHere("toy is not on this machine")
    assert worked(life, pipeline, age) == (0, tries)
    assert set(states(life)) == {"planned"}


@pytest.mark.parametrize("age", [60, 100 * HOUR])
def test_a_batch_for_which_there_is_no_room_is_looked_at_every_half_a_minute(
    life: Life, pipeline: Pipeline, denoisers: FakeDenoisers, age: float
) -> None:
    denoisers.fault = OutOfSpace("no room")
    with capture_logs() as lines:
        assert worked(life, pipeline, age) == (30, 0)
    assert [line["seconds"] for line in lines if line["event"] == "batch.waits"] == [30]


def test_what_nobody_thought_of_is_a_try_and_the_log_says_when_the_next_is(
    life: Life, pipeline: Pipeline, denoisers: FakeDenoisers
) -> None:
    denoisers.fault = ZeroDivisionError()
    with capture_logs() as lines, pytest.raises(ZeroDivisionError):
        worked(life, pipeline, 60)
    wait, tries = the_batch(life)
    assert tries == 1
    assert 2.5 <= wait <= 5
    (line,) = [line for line in lines if line["event"] == "batch.retry"]
    assert line["seconds"] == pytest.approx(wait, abs=0.06)


def poison(patch: pytest.MonkeyPatch, faults: Mapping[str, Exception]) -> None:
    """Have items of these UIDs raise when they are loaded."""

    def poisoned(file: Any, *, name: str) -> Any:
        if name in faults:
            raise faults[name]
        return load(file, name=name)

    patch.setattr(stages, "load", poisoned)


def test_one_item_at_fault_is_tried_again_soon_and_that_is_a_try(
    life: Life, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison(monkeypatch, {"1.2.4.2": ZeroDivisionError()})
    wait, tries = worked(life, pipeline, 1000)
    assert states(life) == ["denoised", "planned"]
    assert (2.5 <= wait <= 5, tries, item_tries(life)) == (True, 1, [1, 1])


def test_where_something_outside_is_at_fault_too_only_the_item_at_fault_has_had_a_try(
    life: Life, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison(monkeypatch, {"1.2.4.1": RetryLater("away"), "1.2.4.2": ZeroDivisionError()})
    assert worked(life, pipeline, 1000) == (500, 0)
    assert (set(states(life)), item_tries(life)) == ({"planned"}, [0, 1])


def test_what_can_never_be_done_fails_at_once_with_the_reason(
    life: Life, pipeline: Pipeline, denoisers: FakeDenoisers
) -> None:
    denoisers.fault = FailItem("toy is broken")
    _, tries = worked(life, pipeline, 60)
    assert (states(life), tries) == (["failed"] * 2, 1)
    assert set(reasons(life)) == {"toy is broken"}

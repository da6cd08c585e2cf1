"""Which batch an image joins, and when a batch has waited long enough."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select, update

from dicom_node.bell.outbox import Queue, Ring
from dicom_node.ledger import batches, plans
from dicom_node.ledger.tables import BatchRow
from model_store.ref import ModelRef
from tests.support.ledgers import Life, reversed_where_unordered

QUIET = 5.0
FIRST: dict[str, Any] = {
    "series_uid": "1.2.4", "route": "ct", "model": ModelRef("toy", "1.0.0", "1" * 64), "plan": {},
    "association_id": "a", "size": 10, "most_instances": 9, "most_bytes": 1000,
}  # fmt: skip


@pytest.fixture
def arriving(life: Life) -> Life:
    life.associate()
    return life


def join(life: Life, **other: Any) -> int:
    with life.ledger.write() as unit:
        return batches.join(unit, **(FIRST | other))


def states(life: Life) -> list[str]:
    life.planner.close_batches()
    return [row.state for row in life.rows(select(BatchRow.state).order_by(BatchRow.id))]


def row_of(life: Life, batch_id: int) -> BatchRow:
    with life.ledger.read() as session:
        return session.get_one(BatchRow, batch_id)


@pytest.mark.parametrize(
    "other",
    [
        {"series_uid": "1.2.5"},
        {"route": "soft"},
        {"model": ModelRef("toy", "1.0.0", "2" * 64)},
        {"plan": {"strength": 0.5}},
    ],
    ids=lambda other: next(iter(other)),
)
def test_what_is_worked_otherwise_has_a_batch_of_its_own(
    arriving: Life, other: dict[str, Any]
) -> None:
    first, second = join(arriving), join(arriving, **other)
    assert first != second
    assert join(arriving) == first
    assert join(arriving, **other) == second
    assert [row_of(arriving, each).count for each in (first, second)] == [2, 2]


@pytest.mark.parametrize("state", ["due", "running", "done"])
def test_a_batch_that_has_gone_out_takes_nothing_more(arriving: Life, state: str) -> None:
    first = join(arriving)
    with arriving.ledger.write() as unit:
        unit.session.execute(update(BatchRow).values(state=state))
    assert join(arriving) != first
    assert row_of(arriving, first).count == 1


def test_a_new_batch_says_what_is_in_it_and_how_it_is_to_be_worked(arriving: Life) -> None:
    opened = arriving.clock.at
    batch_id = join(arriving, plan={"strength": 0.5})
    arriving.associate("b")
    arriving.clock.advance(1)
    join(arriving, plan={"strength": 0.5}, size=7, association_id="b")
    row = row_of(arriving, batch_id)
    assert (row.state, row.count, row.size, row.attempts) == ("open", 2, 17, 0)
    assert (row.opened_at, row.last_item_at) == (opened, arriving.clock.at)
    assert row.association_id == "b"
    assert (row.model_name, row.model_version, row.model_sha256) == ("toy", "1.0.0", "1" * 64)
    assert row.plan == {"strength": 0.5}
    assert plans.is_as_planned(row)


def test_batches_of_a_series_are_as_new_as_its_first(arriving: Life) -> None:
    other = join(arriving, series_uid="1.2.5")
    first = join(arriving)
    second = join(arriving, route="soft")
    assert other != first
    assert [row_of(arriving, each).arrival for each in (other, first, second)] == [
        other,
        first,
        first,
    ]


@pytest.mark.parametrize(("after", "state"), [(QUIET - 0.1, "open"), (QUIET, "due")])
def test_the_quiet_time_begins_anew_with_every_image(
    arriving: Life, after: float, state: str
) -> None:
    join(arriving)
    arriving.clock.advance(QUIET - 1)
    join(arriving)
    arriving.clock.advance(after)
    assert states(arriving) == [state]


def test_what_is_full_is_due_and_rung_for_at_once(arriving: Life) -> None:
    first = join(arriving, most_instances=2)
    assert arriving.bell.rings == []
    assert join(arriving, most_instances=2) == first
    assert states(arriving) == ["due"]
    assert row_of(arriving, first).due_at == arriving.clock.at
    assert arriving.bell.rings == [Ring(Queue.INFER, first)]


def test_whether_any_batch_is_ready_is_what_closing_would_do(arriving: Life) -> None:
    assert arriving.planner.close_batches() == 0
    join(arriving)
    join(arriving, route="soft")
    arriving.associate("b")
    join(arriving, series_uid="1.2.5", association_id="b")
    assert arriving.planner.close_batches() == 0
    arriving.release()
    assert arriving.planner.close_batches() == 2
    assert states(arriving) == ["due", "due", "open"]
    assert arriving.planner.close_batches() == 0
    arriving.clock.advance(QUIET)
    assert arriving.planner.close_batches() == 1


def test_of_two_batches_that_are_alike_the_first_is_filled(arriving: Life) -> None:
    """As two planners may open them at once."""
    reversed_where_unordered(arriving.ledger.engine)
    first, second = join(arriving), join(arriving, plan={"strength": 0.5})
    with arriving.ledger.write() as unit:
        unit.session.execute(update(BatchRow).values(plan={}))
    assert join(arriving) == first
    assert [row_of(arriving, each).count for each in (first, second)] == [2, 1]

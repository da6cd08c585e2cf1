"""The transition table of work items."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom_node.ledger.states import TRANSITIONS, WorkEvent, WorkState, after

PERSON = {WorkEvent.RETRY, WorkEvent.REDELIVER, WorkEvent.DISMISS}
events = st.lists(st.sampled_from(WorkEvent), max_size=50)


LIFE = """
planned    start      running
planned    pass       passed
planned    fail       failed
running    release    planned
running    finish     denoised
running    pass       passed
running    fail       failed
denoised   deliver    delivered
denoised   fail       failed
delivered  redeliver  denoised
failed     retry      planned
failed     redeliver  denoised
failed     dismiss    passed
passed     retry      planned
"""
"""The whole life of a work item as an administrator reads it: state, event, state."""


def test_the_table_is_the_life_that_was_agreed() -> None:
    written = [tuple(line.split()) for line in LIFE.strip().splitlines()]
    assert sorted((*pair, to) for pair, to in TRANSITIONS.items()) == sorted(written)


@pytest.mark.parametrize(
    "state", ["planned", "running", "denoised", "delivered", "passed", "failed"]
)
def test_what_can_happen_in_a_state_and_what_cannot(state: str) -> None:
    allowed = {
        event: to
        for before, event, to in (line.split() for line in LIFE.strip().splitlines())
        if before == state
    }
    for event in WorkEvent:
        assert after(WorkState(state), event) == allowed.get(event.value)
    assert WorkState(state).terminal is (state in ("delivered", "passed", "failed"))


@given(events)
def test_only_a_person_changes_what_has_ended(happened: list[WorkEvent]) -> None:
    state = WorkState.PLANNED
    for event in happened:
        following = after(state, event)
        if following is not None and state.terminal:
            assert event in PERSON
        state = following or state


@pytest.mark.parametrize("state", WorkState)
def test_every_state_can_be_reached_and_left_towards_an_end(state: WorkState) -> None:
    reached = {WorkState.PLANNED}
    for _ in WorkState:
        reached |= {to for (source, _), to in TRANSITIONS.items() if source in reached}
    assert state in reached
    ends = {each for each in WorkState if each.terminal}
    for _ in WorkState:
        ends |= {
            source
            for (source, event), to in TRANSITIONS.items()
            if to in ends and event not in PERSON
        }
    assert state in ends


@given(events)
def test_nothing_is_delivered_that_was_not_denoised(happened: list[WorkEvent]) -> None:
    state, denoised = WorkState.PLANNED, False
    for event in happened:
        state = after(state, event) or state
        denoised = denoised or state is WorkState.DENOISED
        assert state is not WorkState.DELIVERED or denoised

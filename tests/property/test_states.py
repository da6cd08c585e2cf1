"""The transition table of work items."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom_node.domain.work import TRANSITIONS, WorkEvent, WorkState, after, sources

PERSON = {WorkEvent.RETRY, WorkEvent.REDELIVER, WorkEvent.DISMISS}
events = st.lists(st.sampled_from(WorkEvent), max_size=50)


def follow(state: WorkState, happened: list[WorkEvent]) -> WorkState:
    for event in happened:
        state = after(state, event) or state
    return state


@given(st.sampled_from(WorkState), st.sampled_from(WorkEvent))
def test_what_is_not_in_the_table_does_not_happen(state: WorkState, event: WorkEvent) -> None:
    assert (after(state, event) is None) == ((state, event) not in TRANSITIONS)


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


@pytest.mark.parametrize("event", WorkEvent)
def test_every_event_has_a_state_in_which_it_may_happen(event: WorkEvent) -> None:
    assert sources(event)
    assert all(after(state, event) is not None for state in sources(event))


@given(events)
def test_a_life_ends_within_the_table(happened: list[WorkEvent]) -> None:
    assert follow(WorkState.PLANNED, happened) in WorkState

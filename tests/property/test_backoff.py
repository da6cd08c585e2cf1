"""Whatever the parameters, a wait stays within its bounds."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from dicom_node.domain.backoff import Jitter, delay


@st.composite
def parameters(draw: st.DrawFn) -> dict[str, Any]:
    first = draw(st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=1)))
    return {
        "first": first,
        "factor": draw(st.floats(min_value=1.0, max_value=1e6)),
        "ceiling": first + draw(st.timedeltas(timedelta(0), timedelta(days=30))),
    }


attempts = st.integers(min_value=1, max_value=10**9)
draws = st.floats(min_value=0.0, max_value=1.0, exclude_max=True)


@given(parameters(), attempts, st.sampled_from(Jitter), draws)
def test_between_nothing_and_the_ceiling(
    parameters: dict[str, Any], attempt: int, jitter: Jitter, draw: float
) -> None:
    wait = delay(attempt, jitter=jitter, random=lambda: draw, **parameters)
    assert timedelta(0) <= wait <= parameters["ceiling"]


@given(parameters(), attempts, st.integers(min_value=0, max_value=1000))
def test_never_shorter_after_more_failures(
    parameters: dict[str, Any], attempt: int, more: int
) -> None:
    sooner = delay(attempt, jitter=Jitter.NONE, **parameters)
    later = delay(attempt + more, jitter=Jitter.NONE, **parameters)
    assert parameters["first"] <= sooner <= later


@given(parameters(), attempts, draws)
def test_jitter_only_shortens_and_equal_by_half_at_most(
    parameters: dict[str, Any], attempt: int, draw: float
) -> None:
    whole = delay(attempt, jitter=Jitter.NONE, **parameters)
    equal = delay(attempt, jitter=Jitter.EQUAL, random=lambda: draw, **parameters)
    full = delay(attempt, jitter=Jitter.FULL, random=lambda: draw, **parameters)
    assert whole / 2 <= equal <= whole
    assert timedelta(0) <= full <= whole

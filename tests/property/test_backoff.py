"""Whatever the parameters, a wait stays within its bounds."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from dicom_node.domain.backoff import delay


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


@given(parameters(), attempts, draws)
def test_between_nothing_and_the_ceiling(
    parameters: dict[str, Any], attempt: int, draw: float
) -> None:
    wait = delay(attempt, random=lambda: draw, **parameters)
    assert timedelta(0) <= wait <= parameters["ceiling"]


@given(parameters(), attempts, st.integers(min_value=0, max_value=1000))
def test_never_shorter_after_more_failures(
    parameters: dict[str, Any], attempt: int, more: int
) -> None:
    sooner = delay(attempt, random=lambda: 1.0, **parameters)
    later = delay(attempt + more, random=lambda: 1.0, **parameters)
    assert parameters["first"] <= sooner <= later


@given(parameters(), attempts, draws)
def test_chance_shortens_by_half_at_most(
    parameters: dict[str, Any], attempt: int, draw: float
) -> None:
    whole = delay(attempt, random=lambda: 1.0, **parameters)
    drawn = delay(attempt, random=lambda: draw, **parameters)
    assert whole / 2 <= drawn <= whole

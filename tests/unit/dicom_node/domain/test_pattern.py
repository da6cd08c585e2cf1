"""Regular expressions of routes: what they match, and that no text makes them run for ever."""

from __future__ import annotations

import time

import pytest

from dicom_node.domain.condition import Condition
from dicom_node.domain.pattern import Pattern


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        ("(?i)lung", "CT LUNG 1.25", True),
        ("^CHEST", "ABDOMEN CHEST", False),
        (r"\bB[36]0f\b", "B30f", True),
        ("a|1", "x1", True),
        ("\u5c71", "\u5c71\u7530", True),
        (".", "\udcff", True),
        ("^$", "", True),
    ],
)
def test_it_matches_somewhere(pattern: str, text: str, found: bool) -> None:
    assert Pattern(pattern).found_in(text) is found


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|aa)+$", "(.*)*x", r"^(\w+\s?)*$"])
def test_no_text_makes_it_run_for_ever(pattern: str) -> None:
    """Each of these takes the standard library longer than a life."""
    started = time.process_time()
    Pattern(pattern).found_in("a" * 20_000 + "!")
    assert time.process_time() - started < 5


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("(?!LOC)", "look-around, including look-ahead and look-behind, is not supported"),
        (r"(a)\1", "backreferences are not supported"),
        ("[", "unclosed character class"),
        ("a{1000}{1000}", "size limit"),
    ],
)
def test_what_cannot_be_bounded_is_refused_and_names_the_attribute(pattern: str, why: str) -> None:
    with pytest.raises(ValueError, match=f"SeriesDescription.*{why}"):
        Condition("SeriesDescription", regex=pattern)

"""Conditions of routes hold or do not, whatever an attribute holds."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.valuerep import DSfloat, PersonName

from dicom_node.dicom.header import value_of
from dicom_node.domain.condition import Condition
from dicom_node.domain.route import Output, Route, explain
from model_store.ref import ModelName

finite = st.floats(-1e6, 1e6)
scalars = st.one_of(st.text(max_size=12), st.integers(-(10**6), 10**6), finite)
values = st.one_of(
    st.none(), st.text(max_size=12), st.binary(max_size=12), st.integers(), st.floats(),
    st.lists(st.one_of(st.text(max_size=6), st.floats(), st.none()), max_size=4),
)  # fmt: skip


def condition(**parts: Any) -> Condition:
    return Condition("Modality", **parts)


numbers = st.integers(-999, 999).flatmap(
    lambda n: st.sampled_from([(f"{n}", n), (f" {n}.0 ", n), (f"{n}e0", n), (f"{n / 8}", n / 8)])
)
"""A number as a data set may write it, and what it is."""


@given(values, scalars, st.booleans())
def test_any_value_is_judged_and_its_negation_the_other_way_round(
    value: object, wanted: Any, present: bool
) -> None:
    for parts in ({"one_of": (wanted,)}, {"present": present}, {"minimum": 0.0}, {"regex": "a|1"}):
        verdicts = {condition(**parts, negate=negate).holds(value) for negate in (False, True)}
        assert verdicts == {False, True}


@given(st.lists(st.sampled_from(["CT", "MR", "ct", "CT1", ""]), max_size=4), st.booleans())
def test_a_text_is_one_of_those_that_are_wanted(texts: list[str], negate: bool) -> None:
    holds = condition(one_of=("CT", "PT"), negate=negate).holds(texts)
    assert holds is (texts.count("CT") == 0 if negate else texts.count("CT") > 0)


@given(st.lists(numbers, max_size=4), st.integers(-999, 999))
def test_a_number_is_equal_however_it_is_written(
    several: list[tuple[str, float]], wanted: int
) -> None:
    written = [text for text, _ in several]
    assert condition(one_of=(wanted,)).holds(written) is (wanted in [n for _, n in several])
    for text, number in several:
        assert condition(one_of=(number,)).holds(text)
        assert not condition(one_of=(number + 1,)).holds(text)


@given(st.floats(-1e9, 1e9))
def test_a_decimal_string_of_pydicom_is_its_number(value: float) -> None:
    written = DSfloat(f"{value:.9g}")
    assert condition(one_of=(float(f"{value:.9g}"),)).holds(written)
    assert not condition(one_of=(float(f"{value:.9g}") + 1,)).holds(written)


@given(st.lists(st.text(min_size=1, max_size=6), min_size=1, max_size=5))
def test_any_of_several_values_counts(several: list[str]) -> None:
    for one in several:
        if one.strip():
            assert condition(one_of=(one.strip(),)).holds(MultiValue(str, several))
    assert not condition(one_of=("longer than any",)).holds(MultiValue(str, several))


@given(finite, finite, finite)
def test_a_range_is_inclusive(low: float, high: float, value: float) -> None:
    low, high = sorted((low, high))
    ranged = condition(minimum=low, maximum=high)
    assert ranged.holds(repr(value)) is (low <= value <= high)
    for end, beyond in ((low, -math.inf), (high, math.inf)):
        assert ranged.holds(repr(end))
        assert not ranged.holds(repr(math.nextafter(end, beyond)))


@given(st.lists(numbers, max_size=4), st.integers(-999, 999))
def test_half_a_range_is_open_on_the_other_side(several: list[tuple[str, float]], end: int) -> None:
    written = [text for text, _ in several]
    assert condition(minimum=end).holds(written) is any(n >= end for _, n in several)
    assert condition(maximum=end).holds(written) is any(n <= end for _, n in several)


@pytest.mark.parametrize(
    ("parts", "value", "holds"),
    [
        ({"one_of": ("CT",)}, "CT", True),
        ({"one_of": ("CT",)}, "CT ", True),
        ({"one_of": ("CT",)}, "ct", False),
        ({"one_of": ("CT", "MR")}, "MR", True),
        ({"one_of": (1.25,)}, "1.250", True),
        ({"one_of": ("1.25",)}, "1.250", False),
        ({"one_of": (3,)}, 3, True),
        ({"one_of": (3,)}, "x", False),
        ({"one_of": (40,)}, ["40", "-600"], True),
        ({"regex": "AXIAL"}, ["ORIGINAL", "PRIMARY", "AXIAL"], True),
        ({"regex": "^CHEST"}, "ABDOMEN CHEST", False),
        ({"minimum": 0.5, "maximum": 3}, "1.25", True),
        ({"minimum": 0.5, "maximum": 3}, ["5", "2"], True),
        ({"minimum": 0.5}, "thick", False),
        ({"maximum": 3.0}, "-inf", False),
        ({"minimum": 3.0}, "inf", False),
        ({"minimum": 0.0}, "1_0", False),
        ({"minimum": 0.0}, "nan", False),
        ({"minimum": 0.0}, "\N{FULLWIDTH DIGIT ONE}", False),
        ({"present": True}, None, False),
        ({"present": True}, "", False),
        ({"present": True}, "  ", False),
        ({"present": True}, [], False),
        ({"present": False}, None, True),
        ({"present": False}, "x", False),
        ({"one_of": ("X",), "negate": True}, None, True),
        ({"one_of": ("X",), "regex": "Y"}, "X", False),
        ({"one_of": ("DOE^J",)}, PersonName("DOE^J"), True),
    ],
)
def test_examples(parts: dict[str, Any], value: object, holds: bool) -> None:
    assert condition(**parts).holds(value) is holds


@pytest.mark.parametrize(
    "parts",
    [{"regex": "["}, {"minimum": 2.0, "maximum": 1.0}, {"one_of": (10**400,)},
     {"one_of": ("CT", -(10**400))}],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_and_names_the_keyword(parts: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="Modality"):
        condition(**parts)


def route(name: str, *conditions: Condition) -> Route:
    return Route(
        name, conditions, ModelName("m", "production"), 1.0, Output.DERIVED, ("p",), "", ""
    )


ROUTES = (
    route("thin", Condition("SliceThickness", maximum=1.0)),
    route("ct", Condition("Modality", ("CT",)), Condition("BodyPartExamined", regex="CHEST")),
    route("all"),
)


@pytest.mark.parametrize(
    ("first_only", "matched", "considered"),
    [(True, ["ct"], ["thin", "ct"]), (False, ["ct", "all"], ["thin", "ct", "all"])],
)
def test_an_explanation_says_what_matched_and_why_not(
    first_only: bool, matched: list[str], considered: list[str]
) -> None:
    dataset = Dataset()
    dataset.Modality = "CT"
    dataset.BodyPartExamined = "CHEST"
    dataset.SliceThickness = "2.5"
    found = explain(ROUTES, lambda keyword: value_of(dataset, keyword), first_only=first_only)
    assert [each.route for each in found if each.matched] == matched
    assert [each.route for each in found if each.considered] == considered
    assert found[0].reasons == ("SliceThickness is at most 1",)
    assert found[1].reasons == ("Modality is 'CT'", "BodyPartExamined matches 'CHEST'")


@given(finite)
def test_the_words_of_a_condition_hold_its_numbers(value: float) -> None:
    text = str(condition(minimum=value))
    assert math.isclose(float(text.rsplit(maxsplit=1)[-1]), value, rel_tol=1e-4, abs_tol=1e-4)

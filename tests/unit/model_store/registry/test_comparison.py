"""What is concluded from shadow runs, and what not."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from model_store.registry.comparison import FEWEST_SERIES, compare, interval
from model_store.registry.records import Measure

PRODUCTION, SHADOW = "toy-ct@1.0.0", "toy-ct@1.1.0"


def measure(series: int, **changes: Any) -> Measure:
    values: dict[str, Any] = {
        "batch_id": 1, "work_item_id": 1, "route": "ct", "alias": "ct-default",
        "series_uid": f"1.2.{series}", "production": PRODUCTION, "shadow": SHADOW,
        "noise_input": 20.0, "noise_production": 10.0, "noise_shadow": 8.0, "bias": 0.1,
        "rms_difference": 2.0, "largest_difference": 9.0, "seconds_production": 0.1,
        "seconds_shadow": 0.2, "units": "HU",
    }  # fmt: skip
    return Measure(**(values | changes))


def study(ratio: float, spread: float = 0.05, series: int = 20, **changes: Any) -> list[Measure]:
    rng = np.random.default_rng(0)
    factors = ratio * np.exp(rng.normal(0, spread, series))
    return [
        measure(number, noise_shadow=10.0 * float(factor), **changes)
        for number, factor in enumerate(factors)
    ]


def test_less_noise_is_said_with_its_interval() -> None:
    found = compare(PRODUCTION, SHADOW, study(0.8))
    assert found.conclusion == "less noise"
    assert not found.negative
    assert found.noise.low < 0.8 < found.noise.high
    assert found.time.value == pytest.approx(2.0)
    words = " ".join(found.words())
    assert "toy-ct@1.1.0 leaves 79.3 % of the noise" in words
    assert "detail" in words
    assert "within 1 HU" in words
    assert "2.00 times as long" in words


def test_more_noise_speaks_against_it() -> None:
    found = compare(PRODUCTION, SHADOW, study(1.2))
    assert found.conclusion == "more noise"
    assert found.negative


def test_what_is_within_chance_is_no_difference() -> None:
    found = compare(PRODUCTION, SHADOW, study(1.0, spread=0.3))
    assert found.conclusion == "alike"
    assert "no difference can be told" in found.words()[0]


def test_a_shift_counts_before_noise() -> None:
    found = compare(PRODUCTION, SHADOW, study(0.8, bias=-3.0))
    assert found.conclusion == "shifted"
    assert any("shifted by more than 1 HU" in each for each in found.words())


def test_images_of_one_series_are_one_observation() -> None:
    found = compare(PRODUCTION, SHADOW, study(0.8, series=5) * 100)
    assert (found.series, found.images) == (5, 500)
    assert found.conclusion == "too few"
    assert found.negative
    assert found.wanted == 3
    assert math.isnan(found.noise.low)
    assert "3 more are wanted" in found.words()[0]


def test_a_series_counts_as_much_with_many_images_as_with_one() -> None:
    once = study(0.8, spread=0.2, series=10)
    weighted = once + once[:1] * 50
    assert compare(PRODUCTION, SHADOW, weighted).noise.value == pytest.approx(
        compare(PRODUCTION, SHADOW, once).noise.value
    )


def test_failures_come_first() -> None:
    failed = measure(1, error="not in the store", noise_shadow=None, bias=None, units=None)
    found = compare(PRODUCTION, SHADOW, [*study(0.8), failed, failed])
    assert found.conclusion == "failed"
    assert found.words()[0].endswith("failed on 2 of 22 images, most often: not in the store.")


def test_images_without_flat_regions_count_for_the_differences_alone() -> None:
    blank = {"noise_input": None, "noise_production": None, "noise_shadow": None, "bias": None}
    found = compare(PRODUCTION, SHADOW, [measure(n, **blank) for n in range(9)])
    assert found.series == 9
    assert found.wanted == FEWEST_SERIES
    assert found.rms_difference == pytest.approx(2.0)
    assert found.largest_difference == 9.0


def test_nothing_measured_is_no_verdict() -> None:
    found = compare(PRODUCTION, SHADOW, [])
    assert found.conclusion == "too few"
    assert found.wanted == FEWEST_SERIES
    assert math.isnan(found.rms_difference)


def test_the_same_measurements_give_the_same_verdict_in_any_order() -> None:
    rows = study(0.9)
    assert compare(PRODUCTION, SHADOW, rows) == compare(PRODUCTION, SHADOW, rows[::-1])


def test_the_interval_is_as_wide_as_that_of_student_for_few_values() -> None:
    values = np.array([-1.5, -1.0, -0.5, -0.1, 0.1, 0.5, 1.0, 1.5])
    found = interval(values)
    student = 2.3646 * float(values.std(ddof=1)) / math.sqrt(len(values))
    assert found.high == pytest.approx(student, rel=0.08)
    assert found.low == pytest.approx(-student, rel=0.08)


@pytest.mark.parametrize("count", [8, 20])
def test_the_interval_holds_the_truth_about_as_often_as_it_says(
    count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("model_store.registry.comparison._RESAMPLES", 1000)
    rng = np.random.default_rng(1)
    found = [interval(rng.normal(0, 1, count)) for _ in range(200)]
    hit = sum(each.low <= 0 <= each.high for each in found) / len(found)
    assert 0.9 <= hit <= 0.99


def test_few_values_have_a_mean_and_no_interval() -> None:
    nothing, one = interval(np.array([])), interval(np.array([2.0]))
    assert (nothing.series, one.series) == (0, 1)
    assert math.isnan(nothing.value)
    assert one.value == 2.0
    assert math.isnan(one.low)


@pytest.mark.parametrize(
    ("strengths", "said"),
    [
        ([(1.0, 1.0)], None),
        ([(None, None)], None),
        ([(0.53, 1.0)], "Production ran at strength 0.53, the shadow at its own, 1"),
        (
            [(0.53, 1.0), (None, None)],
            "one that was not kept and one that was not kept; 0.53 and 1",
        ),
    ],
)
def test_strengths_that_differ_are_said(
    strengths: list[tuple[float | None, float | None]], said: str | None
) -> None:
    rows = [
        each
        for ours, its in strengths
        for each in study(0.8, strength_production=ours, strength_shadow=its)
    ]
    words = " ".join(compare(PRODUCTION, SHADOW, rows).words())
    assert (said in words) if said else ("trength" not in words)

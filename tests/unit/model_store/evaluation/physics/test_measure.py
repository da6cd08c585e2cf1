from __future__ import annotations

import json

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage, optimize

from model_store.evaluation.card import table_of
from model_store.evaluation.physics.acceptance import (
    bias_criterion,
    detection_criterion,
    noise_criterion,
    spectrum_criterion,
    transfer_criterion,
)
from model_store.evaluation.physics.measure import Measurement, best_strength, strength_sweep
from model_store.evaluation.physics.phantom import (
    SHARP_FULL,
    SHARP_QUARTER,
    contrast_phantom,
)
from model_store.evaluation.physics.report import summary, sweep_summary
from model_store.evaluation.physics.study import Study

SIGMA = 0.8


def blur(image: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(ndimage.gaussian_filter(image, SIGMA), np.float32)


@pytest.fixture(scope="module")
def study() -> Study:
    return Study.run(blur, None, quick=True, conditions=(SHARP_QUARTER, SHARP_FULL))


@pytest.fixture(scope="module")
def identity(study: Study) -> Measurement:
    return Measurement.of(study, 0.0)


@pytest.fixture(scope="module")
def blurred(study: Study) -> Measurement:
    return Measurement.of(study, 1.0)


def test_strength_nought_changes_nothing(identity: Measurement) -> None:
    for item in identity.uniform:
        assert (item.reduction, item.shift, item.bias) == (0, 0, 0)
    for rod in identity.rods:
        assert rod.ratio(0.5) == pytest.approx(100)
        assert rod.mean.change == 0
    for tasks in identity.tasks.values():
        assert all(task.comparison.differences == pytest.approx(0) for task in tasks)
    failed = [each.name for each in identity.criteria() if not each.passed]
    assert failed == ["noise SD falls by at least"]


def test_a_gaussian_lowers_the_resolution_as_its_closed_form_says(blurred: Measurement) -> None:
    pixel_mm = contrast_phantom().pixel_mm

    def system(frequency: float) -> float:
        return float(SHARP_QUARTER.system.transfer(np.array([frequency]))[0])

    def both(frequency: float) -> float:
        return system(frequency) * np.exp(-2 * (np.pi * SIGMA * pixel_mm * frequency) ** 2)

    before = optimize.brentq(lambda f: system(f) - 0.5, 0.01, 1.2)
    after = optimize.brentq(lambda f: both(f) - 0.5, 0.01, 1.2)
    for rod in blurred.rods:
        if rod.condition == SHARP_QUARTER.name:
            assert rod.before.at_level(0.5) == pytest.approx(before, rel=0.02)
            assert rod.ratio(0.5) == pytest.approx(100 * after / before, rel=0.02)


def test_a_gaussian_lowers_noise_and_its_mean_frequency_as_its_closed_form_says(
    blurred: Measurement,
) -> None:
    for item in blurred.uniform:
        along = np.fft.fftfreq(64)
        gain = np.exp(-4 * (np.pi * SIGMA) ** 2 * (along[:, None] ** 2 + along[None, :] ** 2))
        power = item.before.power * gain
        radius = np.hypot(along[:, None], along[None, :]) / item.before.pixel_mm
        expected = (radius * power).sum() / power.sum()
        assert item.after.mean_frequency == pytest.approx(expected, rel=0.05)
        left = np.sqrt(power.sum() / item.before.power.sum())
        assert item.reduction == pytest.approx(100 * (1 - left), abs=1.5)
        assert item.bias == pytest.approx(0, abs=0.3)


def test_a_linear_filter_costs_the_observer_little(blurred: Measurement) -> None:
    for name in blurred.tasks:
        difference, low, high = blurred.detection(name)
        assert low <= 0.02
        assert high >= -0.02
        assert difference == pytest.approx(0, abs=0.03)


def test_full_dose_has_15_hounsfield_units_and_a_quarter_of_it_twice_that(
    identity: Measurement,
) -> None:
    noise = {item.name: item.before.deviation for item in identity.uniform}
    full = noise["simulated, sharp kernel, full dose, between rods"]
    quarter = noise["simulated, sharp kernel, quarter dose, between rods"]
    assert full == pytest.approx(15, rel=0.05)
    assert quarter / full == pytest.approx(2, rel=0.05)


def test_the_sweep_names_the_largest_strength_that_passes(study: Study) -> None:
    sweep = strength_sweep(study, (0.3, 1.0))
    assert best_strength(sweep) is None
    found = sweep_summary(sweep)
    assert found["strength"] is None
    assert set(found["by_condition"]) == set(sweep[0].conditions)
    assert len(found["table"]["rows"]) == 4


def test_the_summary_is_plain_data_that_a_card_can_show(blurred: Measurement) -> None:
    results = json.loads(json.dumps(summary(blurred)))
    assert not results["passed"]
    assert {gate["name"] for gate in results["gates"]} == {
        gate["name"] for gate in results["conditions"][SHARP_QUARTER.name]
    }
    assert all(table_of(table).count("|") > 10 for table in results["tables"])
    for table in results["tables"]:
        assert {len(row) for row in table["rows"]} == {len(table["columns"])}
    assert len(results["curves"]["ttf"]) == 18


def test_criteria_take_the_worst() -> None:
    assert not noise_criterion({"a": 60, "b": 39}).passed
    assert noise_criterion({"a": 60, "b": 40}).note == "b"
    assert not spectrum_criterion({"a": 3, "b": -16}).passed
    assert bias_criterion({"a": 0.2, "b": -0.9}).value == 0.9
    found = transfer_criterion({("soft", 100): 96, ("soft", 35): 20, ("sharp", -100): 94})
    assert (found.value, found.passed) == (94, False)


def test_detection_needs_an_interval_that_could_have_shown_a_loss() -> None:
    assert detection_criterion({"a": (-0.001, -0.004, 0.002)}).passed
    assert not detection_criterion({"a": (-0.01, -0.02, -0.001)}).passed
    assert not detection_criterion({"a": (0.0, -0.2, 0.2)}).passed


def test_a_model_that_wipes_faint_rods_out_loses_detection() -> None:
    def wipe(image: NDArray[np.float32]) -> NDArray[np.float32]:
        smooth = ndimage.gaussian_filter(image, 2)
        return np.where(np.abs(smooth) < 12, 0, smooth).astype(np.float32)

    study = Study.run(wipe, None, quick=True, conditions=(SHARP_QUARTER,))
    sweep = strength_sweep(study, (1.0,))
    criteria = {each.name: each for each in sweep[0].criteria()}
    assert not criteria["CHO AUC, denoised less input"].passed
    assert criteria["CHO AUC, denoised less input"].value < -0.01

"""Rules for metrics: which numbers they mean, and how far off one is."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from dicom_node.settings.promotion import MetricRule, PromotionSettings
from model_store.manifest import Manifest, TilingSpec, TrainedNoise, Validity
from model_store.registry.metric_rules import applies, held_against
from model_store.store import ModelStore
from tests.support.factories.models import HU

HEADLINE = {
    "noise of 10 HU": {"metric": "PSNR", "input": 33.2, "model": 35.9},
    "29.91 dB": {"metric": "PSNR", "input": 25.0, "model": 24.5},
}


def manifest(**changes: Any) -> Manifest:
    values: dict[str, Any] = {
        "name": "toy-ct", "version": "1.0.0", "system": "other", "modality": ("CT",), "input": HU,
        "tiling": TilingSpec(margin=2, stride=1), "files": {"model.onnx": "0" * 64},
        "trained_noise": TrainedNoise(minimum_sd=0, maximum_sd=1, description=""),
        "parameters": 0, "macs_per_pixel": 0, "intended_use": "", "training_data": "",
        "licence": "", "metrics": {"headline": HEADLINE},
    }  # fmt: skip
    return Manifest(**(values | changes))


def test_every_key_is_looked_at_and_the_one_that_fails_says_by_how_much() -> None:
    rule = MetricRule(metric="headline.*.model", over="input", minimum=0)
    well, short = held_against(rule, manifest())
    assert well.passed
    assert well.said == ("headline.noise of 10 HU.model over input is 2.7, at least 0 is asked for")
    assert not short.passed
    assert short.short == pytest.approx(0.5)
    assert short.said == (
        'headline."29.91 dB".model over input is -0.5, at least 0 is asked for, 0.5 too little'
    )


def test_a_key_with_a_dot_stands_in_quotes() -> None:
    (found,) = held_against(MetricRule(metric='headline."29.91 dB".model', maximum=20), manifest())
    assert found.said.endswith("at most 20 is asked for, 4.5 too much")


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"metric": "headline.*.ssim"}, "not measured"),
        ({"metric": "headline"}, "is no number"),
        ({"metric": "headline.*.metric"}, "is no number"),
        ({"metric": "headline.*.model", "over": "bm3d"}, "no number bm3d beside it"),
        ({"metric": "validity.zero_crossing_sd"}, "not measured"),
        ({"metric": "headline.*.model.deeper"}, "not measured"),
    ],
)
def test_what_has_no_number_does_not_pass(rule: dict[str, Any], words: str) -> None:
    found = held_against(MetricRule(minimum=0, **rule), manifest())
    assert not any(each.passed for each in found)
    assert words in found[0].said


def test_a_manifest_without_metrics_does_not_pass() -> None:
    rule = PromotionSettings().metrics[0]
    (found,) = held_against(rule, manifest(metrics={}))
    assert not found.passed
    assert found.short is None


@pytest.mark.parametrize("value", [float("nan"), float("inf"), True, None, "3"])
def test_what_is_no_finite_number_does_not_pass(value: object) -> None:
    rule = MetricRule(metric="gain", minimum=0)
    assert not held_against(rule, manifest(metrics={"gain": value}))[0].passed


def test_the_statement_of_validity_has_numbers_too() -> None:
    validity = Validity(
        measure="PSNR", noise="", images=1, gain_curve=((10, 5), (50, -1)), noise_sd=(50, 1),
        trained_sd=(0, 60), trained_psnr=(10, 50), zero_crossing_psnr=46.5, zero_crossing_sd=3.1,
        statement="",
    )  # fmt: skip
    rule = MetricRule(metric="validity.zero_crossing_sd", minimum=1, maximum=3)
    (found,) = held_against(rule, manifest(validity=validity))
    assert found.short == pytest.approx(0.1)
    assert "at most 3" in found.said


def test_a_rule_for_another_modality_is_not_meant() -> None:
    rule = MetricRule(metric="gain", minimum=0, modality=("DX", "CR"))
    assert not applies(rule, manifest())
    assert applies(rule, manifest(modality=("CR",)))
    assert applies(MetricRule(metric="gain", minimum=0), manifest())


def test_the_default_rule_passes_what_comes_with_the_package() -> None:
    (rule,) = PromotionSettings().metrics
    for version in ModelStore().versions():
        assert all(found.passed for found in held_against(rule, version.manifest))


@pytest.mark.parametrize(
    "wrong",
    [
        {"metric": "gain"},
        {"metric": "", "minimum": 0},
        {"metric": "a..b", "minimum": 0},
        {"metric": "a.", "minimum": 0},
        {"metric": "gain", "minimum": 1, "maximum": 0},
        {"metric": "gain", "minimum": float("nan")},
        {"metric": "gain", "minimum": 0, "more": 1},
    ],
)
def test_a_rule_that_means_nothing_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        MetricRule(**wrong)


@pytest.mark.parametrize("alias", ["1.0.0", "Production", "a@b", ""])
def test_only_an_alias_can_be_guarded(alias: str) -> None:
    with pytest.raises(ValidationError, match="is not an alias"):
        PromotionSettings(aliases=(alias,))

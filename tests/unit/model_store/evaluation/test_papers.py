from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter

from model_store.errors import DataError
from model_store.evaluation.papers import (
    DNGAN,
    DNGAN_WEIGHTS,
    DRL,
    N2N_CT,
    N2N_CT_STRONG,
    N2N_XRAY,
    SHARPXR,
    WGAN,
    PaperTable,
    arm_of,
    read_tables,
)
from model_store.generators.sections import GeneratorSection
from tests.unit.model_store.evaluation.recipes import CONTENT, CRITIC, CT, POISSON, XRAY, recipe

_MSE, _TV = {"name": "mse"}, {"name": "tv"}


@pytest.mark.parametrize("table", [DNGAN, DNGAN_WEIGHTS, N2N_XRAY, N2N_CT, N2N_CT_STRONG, WGAN])
def test_claims_follow_from_the_figures_where_there_are_figures(table: PaperTable) -> None:
    assert table.claims or len(table.arms) == 1
    for metric, better, worse in table.claims:
        left = getattr(table.arms[better], metric.lower())
        right = getattr(table.arms[worse], metric.lower())
        if left is not None and right is not None:
            assert left < right if metric == "PDR" else left > right


def test_margins_over_the_best_filter() -> None:
    assert N2N_XRAY.margin("N2N-MSE") == 3.63
    assert N2N_CT.margin("N2C-MSE") == 5.54
    assert DNGAN.margin("DNGAN-MSE") == 1.86
    assert WGAN.margin("WGAN-VGG") is None


@pytest.mark.parametrize(
    ("loss", "critic", "arm"),
    [
        ([_MSE], None, "DNGAN-MSE"),
        ([], CRITIC, "DNGAN-ADV"),
        ([_MSE, _TV], CRITIC, "DNGAN-WORES"),
        ([CONTENT, _TV], CRITIC, "DNGAN-WOMSE"),
        ([_MSE, CONTENT], CRITIC, "DNGAN-WOTV"),
        ([_MSE, CONTENT, _TV], CRITIC, "DNGAN"),
    ],
)
def test_arms_of_dngan(loss: list[dict[str, Any]], critic: dict[str, Any] | None, arm: str) -> None:
    assert arm_of(recipe("any", "dngan", loss=loss, critic=critic)) == (DNGAN, arm)


def test_an_arm_of_the_study_of_weights() -> None:
    found = arm_of(recipe("dngan-weights-content-0.5", "dngan", loss=[_MSE], critic=CRITIC))
    assert found == (DNGAN_WEIGHTS, "content-0.5")


@pytest.mark.parametrize(
    ("data", "loss", "expected"),
    [
        (XRAY | {"noise": POISSON}, "mse", (N2N_XRAY, "N2C-MSE")),
        (XRAY | {"noise": POISSON, "target": "noisy"}, "mae", (N2N_XRAY, "N2N-MAE")),
        (XRAY | {"noise": POISSON}, "mae", None),
        (CT | {"noise": {"kind": "awgn", "psnr": 24.44}}, "mse", (N2N_CT, "N2C-MSE")),
        (
            CT | {"noise": {"kind": "awgn", "psnr": 18.66}, "target": "noisy"},
            "mse",
            (N2N_CT_STRONG, "N2N-MSE"),
        ),
    ],
)
def test_arms_of_noise2noise(
    data: dict[str, Any], loss: str, expected: tuple[PaperTable, str] | None
) -> None:
    assert arm_of(recipe("any", "n2n-unet", data, [{"name": loss}])) == expected


def test_other_systems() -> None:
    critic = {"network": {"system": "wgan-vgg"}, "objective": "wgan-gp", "weight": 1}
    assert arm_of(recipe("any", "wgan-vgg", CT, [CONTENT])) == (WGAN, "Generator-VGG")
    assert arm_of(recipe("any", "wgan-vgg", CT, [_MSE], critic)) == (WGAN, "WGAN-MSE")
    assert arm_of(recipe("any", "sharpxr")) == (SHARPXR, "SharpXR")
    assert arm_of(recipe("any", "drunet", CT)) is None


@pytest.mark.parametrize(
    ("shape", "loss", "start", "arm"),
    [
        ({"system": "drl"}, _MSE, None, "DRL, A"),
        ({"system": "drl"}, CONTENT, None, "DRL, B"),
        ({"system": "drl-cascade"}, _MSE, "drl-b", "cascade C"),
        ({"system": "drl-cascade"}, _MSE, "drl-ct@1.0.0", "cascade D"),
        ({"system": "drl-cascade", "levels": 3}, _MSE, "drl-cascade-c", "cascade C, 3 levels"),
        (
            {"system": "drl-cascade", "levels": 3, "blend": 0.7},
            _MSE,
            "drl-cascade-3",
            "cascade C, 3 levels, blended",
        ),
        ({"system": "drl-cascade", "blend": 0.7}, _MSE, "drl-cascade-c", "cascade C, blended"),
        ({"system": "drl-cascade"}, _MSE, "drl-paper-a", "cascade D"),
        ({"system": "drl-cascade"}, _MSE, "drl-paper-b", "cascade C"),
        ({"system": "drl-cascade"}, _MSE, "somebodys-run", "cascade C"),
        ({"system": "drl-cascade", "further": "cnn10"}, _MSE, "drl-b", "DRL, then CNN10"),
        (
            {"system": "drl-cascade", "first": "cnn10", "further": "cnn10"},
            _MSE,
            "cnn10",
            "cascade of CNN10",
        ),
        ({"system": "cnn10"}, _MSE, None, "CNN10"),
    ],
)
def test_arms_of_drl(
    shape: dict[str, Any], loss: dict[str, Any], start: str | None, arm: str
) -> None:
    plain = recipe("any", "drl", CT, [loss])
    section = TypeAdapter[GeneratorSection](GeneratorSection).validate_python(shape)
    training = plain.training.model_copy(update={"start": start})
    made = plain.model_copy(update={"generator": section, "training": training})
    assert arm_of(made) == (DRL, arm)


@pytest.mark.parametrize(
    "table", [DNGAN, DNGAN_WEIGHTS, N2N_XRAY, N2N_CT, N2N_CT_STRONG, WGAN, SHARPXR, DRL]
)
def test_orders_are_of_arms_that_are_there(table: PaperTable) -> None:
    for metric, better, worse in table.orders(table.arms):
        left, right = table.arms[better].of(metric), table.arms[worse].of(metric)
        if left is not None and right is not None:
            assert left < right if metric == "PDR" else left > right
    assert set(table.claims) <= set(table.orders(table.arms))
    assert table.orders([]) == []


def test_the_ranking_of_a_table_is_its_order() -> None:
    assert N2N_CT.orders(N2N_CT.arms) == [
        ("PSNR", "N2N-MSE", "N2N-MAE"),
        ("PSNR", "N2N-MAE", "N2C-MSE"),
        ("PSNR", "N2N-MSE", "N2C-MSE"),
    ]
    assert DNGAN.orders(["DNGAN", "DNGAN-MSE", "DNGAN-WOMSE"])[-3:] == [
        ("PDR", "DNGAN", "DNGAN-WOMSE"),
        ("PDR", "DNGAN-WOMSE", "DNGAN-MSE"),
        ("PDR", "DNGAN", "DNGAN-MSE"),
    ]
    # factors of one weight are ranked among themselves, never those of two weights
    assert DNGAN_WEIGHTS.orders(["mse-5", "tv-0.2"]) == []
    assert ("PDR", "mse-0.2", "mse-5") in DNGAN_WEIGHTS.orders(["mse-5", "mse-0.2"])


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ("arms = { A = { pnsr = 30.0 } }", r"file\.toml: t\.arms\.A\.pnsr: Extra inputs"),
        ("arms = {}", r"file\.toml: t\.arms: .*at least 1"),
        ('arms = { A = {} }\nclaims = [["PSNR", "A", "B"]]', r"file\.toml: t: .*no arm B"),
        ('arms = { A = {} }\nclaims = [["MSE", "A", "A"]]', r"file\.toml: t\.claims\.0\.0: "),
        ('arms = { A = {} }\nbeside = ["u"]', r"file\.toml: t\.beside: no table u"),
        ("arms =", r"file\.toml: Invalid value"),
    ],
)
def test_a_mistake_in_the_file_is_named_by_its_key(changes: str, wrong: str) -> None:
    with pytest.raises(DataError, match=wrong):
        read_tables(f'[t]\nsource = "s"\nsetting = "w"\n{changes}\n', "file.toml")

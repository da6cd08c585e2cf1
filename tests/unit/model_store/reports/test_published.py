from __future__ import annotations

from pathlib import Path

import pytest

from model_store.reports.published import publication_of
from model_store.training.recipe import Recipe

_RECIPES = Path(__file__).parents[4] / "model_store" / "training" / "recipes"


def test_figures_are_of_the_arm_that_the_recipe_follows() -> None:
    recipe = Recipe.read(_RECIPES / "n2n-unet-xray.toml")
    publication = publication_of("n2n-unet", recipe)
    assert publication is not None
    assert publication.arm == "N2C-MSE"
    assert publication.table is not None
    assert publication.table["columns"] == ["", "PSNR"]
    assert ["N2C-MSE", 40.54] in publication.table["rows"]
    assert ["input", 29.91] in publication.table["rows"]


def test_a_study_of_factors_is_a_grid_beside_the_arms() -> None:
    publication = publication_of("dngan", Recipe.read(_RECIPES / "dngan.toml"))
    assert publication is not None
    assert (publication.arm, publication.condition) == ("DNGAN", "Poisson noise, 24.15 dB")
    (grid,) = publication.further
    assert grid["title"].endswith("Table 2")
    assert grid["columns"] == ["PDR by factor", "0.2", "0.5", "1", "2", "5"]
    assert grid["rows"] == [
        ["mse", 0.070, 0.065, 0.061, 0.076, 0.090],
        ["adversarial", 0.116, 0.087, 0.061, 0.066, 0.078],
        ["content", 0.097, 0.069, 0.061, 0.057, 0.054],
        ["tv", 0.073, 0.059, 0.061, 0.063, 0.064],
    ]


def test_an_arm_of_the_study_stands_in_the_study() -> None:
    recipe = Recipe.read(_RECIPES / "dngan-weights.toml", "content-5")
    publication = publication_of("dngan", recipe)
    assert publication is not None
    assert publication.table is not None
    assert [publication.arm, 0.054] in publication.table["rows"]
    assert publication.further[0]["title"].endswith("Table 1")


def test_of_the_cascade_there_are_parameters_alone() -> None:
    recipe = Recipe.read(_RECIPES / "drl-cascade-3.toml")
    publication = publication_of("drl-cascade", recipe)
    assert publication is not None
    assert publication.arm == "cascade C, 3 levels"
    assert publication.table is not None
    assert publication.table["columns"] == ["", "parameters"]
    assert ["DRL, B", 225_601] in publication.table["rows"]
    assert ["CNN10", 335_873] in publication.table["rows"]


@pytest.mark.parametrize("system", ["dngan", "n2n-unet", "sharpxr", "wgan-vgg", "drl", "cnn10"])
def test_every_system_with_a_publication_is_cited(system: str) -> None:
    publication = publication_of(system, None)
    assert publication is not None
    assert publication.citation
    assert publication.table is None


def test_a_system_of_nobody_has_none() -> None:
    assert publication_of("other", None) is None

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


@pytest.mark.parametrize("system", ["dngan", "n2n-unet", "sharpxr", "wgan-vgg", "drl", "cnn10"])
def test_every_system_with_a_publication_is_cited(system: str) -> None:
    publication = publication_of(system, None)
    assert publication is not None
    assert publication.citation
    assert publication.table is None


def test_a_system_of_nobody_has_none() -> None:
    assert publication_of("other", None) is None

from __future__ import annotations

from pathlib import Path

import pytest

import model_store.training
from model_store.errors import RecipeError
from model_store.training.recipe import Recipe
from model_store.training.recipe_file import arms_of

RECIPES = sorted((Path(model_store.training.__file__).parent / "recipes").glob("*.toml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_shipped_recipes_are_valid_and_named_after_their_model(path: Path) -> None:
    for arm in arms_of(path) or (None,):
        name = path.stem if arm is None else f"{path.stem}-{arm}"
        assert Recipe.read(path, arm).name == name


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("batch = ", "batches = ", r"training\.batches.*Extra inputs"),
        ('system = "drl"', 'system = "dlr"', "generator"),
        ("width = 64", "width = 0", r"generator\.drl\.width"),
        ("[training]", "[training", "not TOML"),
        ('held_out = ["', 'held_out = ["ct/acrinflt_ge_body_5mm", "', "both trained on and held"),
        ('name = "mse"', 'name = "msé"', r"training\.loss\.0: .*'msé'"),
        ('name = "mse"', 'name = "mse", sharpness = 1', "mse takes no sharpness"),
        (
            'name = "mse"',
            'name = "mse", contrast = 100',
            "mse takes no .*contrast",
        ),
        (
            'name = "mse"',
            'name = "perceptual", backbone = "vgg16", layers = [3], window = [240, -160]',
            "window is the lowest and the highest value",
        ),
        (
            'name = "mse"',
            'name = "perceptual", backbone = "vgg16", layers = [3], window = [0, inf]',
            "window.1: .*finite",
        ),
        (
            'name = "mse"',
            'name = "perceptual", backbone = "vgg16", layers = [3], window = [9000, 9001]',
            "not within -1024 to 3072",
        ),
        (
            'name = "mse"',
            'name = "perceptual", backbone = "vgg16", layers = [3], window = [0, 1]',
            "too narrow",
        ),
        ('name = "mse"', 'name = "systematic", level = inf', "level: .*finite"),
        ('name = "mse"', 'name = "systematic"', "is for CT and takes data.antithetic"),
        (
            "realisations = 2",
            'scanned_phantoms = 2\nnoise = { kind = "awgn", psnr = 24.44 }',
            "white noise has no kernel",
        ),
    ],
)
def test_a_malformed_recipe_says_what_is_wrong(old: str, new: str, message: str) -> None:
    text = next(path for path in RECIPES if path.stem == "drl-ct").read_text()
    assert old in text
    with pytest.raises(RecipeError, match=message):
        Recipe.parse(text.replace(old, new))


def test_a_missing_recipe_is_a_recipe_error(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"absent\.toml"):
        Recipe.read(tmp_path / "absent.toml")

"""Numbers in cards, recipes and decisions are those of the results that they are taken from."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from model_store.evaluation.card import render_card
from model_store.store import ModelStore, ModelVersion, packaged_zoo
from model_store.training.objective import NOT_FIDELITY, for_fidelity
from model_store.training.recipe import Recipe
from model_store.training.recipe_file import RECIPES, arms_of

_DECISIONS = Path(__file__).parents[2] / "docs" / "decisions"
_VERSIONS = ModelStore().versions()
_RECIPES = [
    *(version.folder / "recipe.toml" for version in _VERSIONS),
    *sorted(RECIPES.glob("*.toml")),
]


def _recipe(path: Path) -> Recipe:
    return Recipe.read(path, next(iter(arms_of(path)), None))


@pytest.mark.parametrize("version", _VERSIONS, ids=lambda version: str(version.ref))
def test_a_card_says_what_manifest_and_recipe_say(version: ModelVersion) -> None:
    recipe = Recipe.read(version.folder / "recipe.toml")
    card = (version.folder / "card.md").read_text("utf-8")
    assert card == render_card(version.manifest, recipe)
    assert version.manifest.training_data == recipe.release.training_data
    assert (NOT_FIDELITY in version.manifest.intended_use) != for_fidelity(recipe)


@pytest.mark.parametrize("path", _RECIPES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_prose_of_a_recipe_has_no_results_of_its_own(path: Path) -> None:
    """Decibels and percentages of results go stale in prose; tables have them."""
    release = _recipe(path).release
    assert not re.search(r"\d\s?dB", release.limits), release.limits
    for sentence in re.split(r"[.;]\s", release.differences):
        if "dB" in sentence:
            assert "noise" in sentence.lower(), f"{path}: {sentence}: a result, not an input"


def test_the_decision_on_the_default_for_ct_quotes_its_study() -> None:
    text = (_DECISIONS / "0027-drunet-ct-1.3.0.md").read_text("utf-8")
    physics = ModelStore().resolve("drunet-ct@1.3.0").manifest.metrics["physics"]
    strength = physics["strength"]
    assert f"1.3.0 at {strength:g} |" in text
    columns = physics["sweep"]["table"]["columns"]
    rows = [row for row in physics["sweep"]["table"]["rows"] if row[1] == strength]
    for said, column in (
        ("noise falls", "noise falls %"),
        ("mean frequency", "f mean moves %"),
        ("TTF50 at 100 HU", "TTF50 %"),
    ):
        line = next(line for line in text.splitlines() if line.startswith(f"| {said}"))
        quoted = [float(each) for each in re.findall(r"[\d.]+", line.split("|")[-2])]
        ours = [float(row[columns.index(column)].rstrip(" !")) for row in rows]
        assert quoted == pytest.approx(ours, abs=0.06), said


def test_the_default_of_every_kind_recommends_a_strength_that_keeps_its_limits() -> None:
    store = ModelStore()
    default = store.resolve("ct-default@production")
    assert default.folder.is_relative_to(packaged_zoo())
    physics = default.manifest.metrics["physics"]
    assert default.manifest.strength == physics["strength"]
    assert not physics["quick"]
    assert [gate["name"] for gate in physics["gates"] if not gate["passed"]] == []

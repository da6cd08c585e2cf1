"""Every shipped recipe trains: one iteration on small synthetic data, random backbones."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import pytest

import model_store.training
from model_store.errors import RecipeError
from model_store.training import run
from model_store.training.ct_patches import CtPatches, NoisySlice
from model_store.training.objective import for_fidelity, objective
from model_store.training.pairs.cache import StoredPair
from model_store.training.pairs.patches import PairPatches
from model_store.training.pairs.section import PairsData
from model_store.training.patches import PatchSource
from model_store.training.recipe import CtData, Recipe, XrayData
from model_store.training.recipe_file import arms_of, dump_toml, read_toml, shipped
from model_store.training.start import load_start
from model_store.training.xray_patches import XrayPatches
from tests.support.backbones import random_backbones

FOLDER = Path(model_store.training.__file__).parent / "recipes"
STUDY = FOLDER / "dngan-weights.toml"
FILES = [path for path in sorted(FOLDER.glob("*.toml")) if path != STUDY]
ARMS: list[tuple[Path, str | None]] = [
    *((path, arm) for path in FILES for arm in arms_of(path) or (None,)),
    *((STUDY, arm) for arm in ("content-5", "adversarial-0.2")),
]
_PATCH = 32


@pytest.fixture(autouse=True)
def _random_backbones(monkeypatch: pytest.MonkeyPatch) -> None:
    random_backbones(monkeypatch)


def _source(recipe: Recipe) -> PatchSource:
    rng = np.random.default_rng(0)
    sizes = {"batch": recipe.training.batch, "patch": _PATCH, "seed": 0}
    if isinstance(recipe.data, PairsData):
        images = rng.random((2, 48, 48)).astype(np.float32)
        pair = StoredPair(images[0], images[1], 0.1, False)
        return PairPatches([pair], recipe.data, recipe.input, **sizes)
    if isinstance(recipe.data, CtData):
        clean = rng.uniform(-200, 200, (48, 48)).astype(np.float32)
        noise = rng.normal(0, 1, (2, 48, 48)).astype(np.float16)
        return CtPatches([NoisySlice(clean, noise)], recipe.data, recipe.input, **sizes)
    return XrayPatches([rng.random((48, 48)).astype(np.float32)], recipe.data, **sizes)


def _small(path: Path, arm: str | None) -> Recipe:
    content = read_toml(path, arm)
    content["training"] |= {"patch": _PATCH, "batch": 2, "precision": "float32"}
    if "critic" in content and content["critic"]["network"]["system"] == "dngan":
        content["critic"]["network"] |= {"width": 8, "hidden": 16}
    return Recipe.resolve(content, str(path))


@pytest.mark.parametrize(("path", "arm"), ARMS, ids=lambda part: getattr(part, "stem", part))
def test_every_recipe_does_one_iteration(path: Path, arm: str | None) -> None:
    recipe = _small(path, arm)
    trainer = run.build_trainer(recipe, _source(recipe))
    before = {name: value.detach().clone() for name, value in trainer.generator.named_parameters()}
    trained = {name for name, _ in trainer.generator.trained_parameters()}
    if recipe.training.iterations:
        assert np.isfinite(trainer._iterate(0))
    changed = {
        name
        for name, value in trainer.generator.named_parameters()
        if not value.detach().equal(before[name])
    }
    assert changed <= trained
    assert bool(changed) == bool(recipe.training.iterations)
    assert objective(recipe).startswith("Minimised: ")


@pytest.mark.parametrize(("path", "arm"), ARMS, ids=lambda part: getattr(part, "stem", part))
def test_the_recipe_that_a_run_keeps_stands_for_itself(path: Path, arm: str | None) -> None:
    text = dump_toml(read_toml(path, arm))
    assert "extends" not in tomllib.loads(text)
    assert Recipe.parse(text) == Recipe.read(path, arm)


def test_arms_of_a_kind_share_their_data() -> None:
    default = {
        "ct": Recipe.read(FOLDER / "drunet-ct-kernels.toml"),
        "xray": Recipe.read(FOLDER / "drunet-xray.toml"),
    }
    bases = {"drl-ct", "n2n-unet-xray", "drunet-ct", "drunet-xray"}
    for path, arm in ARMS:
        recipe = Recipe.read(path, arm)
        if path.stem in bases or isinstance(recipe.data, PairsData):
            continue
        same = default[recipe.data.kind]
        assert isinstance(same.data, CtData | XrayData)
        assert recipe.data.sources == same.data.sources, path.stem
        if isinstance(recipe.data, CtData) and isinstance(same.data, CtData):
            assert recipe.data.phantoms == same.data.phantoms
            assert recipe.data.realisations == same.data.realisations
        assert recipe.data.held_out == same.data.held_out, path.stem
        assert recipe.training.seed == same.training.seed, path.stem


def test_what_was_not_trained_for_fidelity_is_known() -> None:
    recipes = [Recipe.read(path, arm) for path, arm in ARMS]
    told = {recipe.name for recipe in recipes if not for_fidelity(recipe)}
    assert {"dngan", "dngan-adv", "sharpxr-stage1", "wgan-vgg", "drl-b", "generator-vgg"} <= told
    assert {"drl-cascade-c", "drl-cascade-3", "drl-paper-cascade-c"} <= told, "levels stay frozen"
    assert not {"dngan-mse", "generator-mse", "drl-a", "cnn10", "n2n-mae-xray"} & told
    assert not {"drl-cascade-d", "drl-paper-cascade-d", "cnn10-cascade"} & told


def test_a_study_multiplies_one_weight_at_a_time() -> None:
    base, content = Recipe.read(STUDY, "base"), Recipe.read(STUDY, "content-5")
    assert content.name == "dngan-weights-content-5"
    weights = [term.weight for term in base.training.loss]
    assert [term.weight for term in content.training.loss] == [
        weights[0],
        pytest.approx(5 * weights[1]),
        weights[2],
    ]
    assert Recipe.read(STUDY, "adversarial-0.2").critic.weight == pytest.approx(0.002)  # type: ignore[union-attr]
    assert len(arms_of(STUDY)) == 1 + 4 * 4


def test_studies_and_arms_that_are_not_there_are_named() -> None:
    with pytest.raises(RecipeError, match=r"--arm: base, mse-0\.2, mse-0\.5"):
        Recipe.read(STUDY)
    with pytest.raises(RecipeError, match="has no arms"):
        Recipe.read(FOLDER / "dngan.toml", "content-5")
    with pytest.raises(RecipeError, match="--arm: n2n-mse, n2n-mae, n2c-mse"):
        Recipe.read(FOLDER / "n2n-paper-xray.toml", "dngan")


def test_recipes_that_extend_each_other_in_a_circle_are_refused(tmp_path: Path) -> None:
    for one, other in (("a", "b"), ("b", "a")):
        (tmp_path / f"{one}.toml").write_text(f'extends = "{other}.toml"\n')
    with pytest.raises(RecipeError, match="circle"):
        Recipe.read(tmp_path / "a.toml")


def test_a_recipe_may_extend_as_many_files_after_each_other_as_it_likes(tmp_path: Path) -> None:
    (tmp_path / "0.toml").write_text('extends = "dngan-mse"\n')
    for depth in range(1, 12):
        (tmp_path / f"{depth}.toml").write_text(
            f'extends = "{depth - 1}.toml"\nname = "n{depth}"\n'
        )
    assert Recipe.read(tmp_path / "11.toml").name == "n11"


def test_an_arm_replaces_keys_takes_tables_away_and_starts_from_another(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text(
        'extends = "dngan"\nname = "own"\n'
        '[arms.first]\ncritic = false\ntraining.loss = [{ name = "mae" }]\n'
        '[arms.second]\ntraining.start = "{recipe}-first"\n'
    )
    first, second = Recipe.read(path, "first"), Recipe.read(path, "second")
    assert first.critic is None
    assert [term.name for term in first.training.loss] == ["mae"]
    assert second.critic is not None
    assert (second.name, second.training.start) == ("own-second", "own-first")
    path.write_text(path.read_text() + "[study]\nfactors = [2]\nweights = {}\n")
    with pytest.raises(RecipeError, match="not by both"):
        Recipe.read(path, "first")
    path.write_text('extends = "dngan"\narms = 3\n')
    with pytest.raises(RecipeError, match="a table for each arm"):
        Recipe.read(path)


def test_every_start_of_a_shipped_recipe_is_one_that_is_shipped() -> None:
    for path, arm in ARMS:
        start = Recipe.read(path, arm).training.start
        if start is not None and "@" not in start:
            assert shipped(start) is not None, f"{path.stem} {arm}: {start}"


def test_arms_that_are_compared_start_alike() -> None:
    """D differs from C in the loss of its first level alone."""
    first = {name: Recipe.read(FOLDER / f"drl-{name}.toml") for name in ("a", "b")}
    assert first["a"].data == first["b"].data
    assert first["a"].training.start == first["b"].training.start
    assert first["a"].training.iterations == first["b"].training.iterations
    second = {name: Recipe.read(FOLDER / f"drl-cascade-{name}.toml") for name in ("c", "d")}
    assert (second["c"].training.start, second["d"].training.start) == ("drl-b", "drl-a")
    assert second["c"].training.iterations == second["d"].training.iterations


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('loss = [{ name = "mse" }]', "loss = []", "nothing to train on"),
        ('loss = [{ name = "mse" }]', "iterations = 0", "no training.start"),
        ("psnr = 24.15", "psnr = -1", r"data\.xray\.noise\.poisson\.psnr"),
        ('kind = "poisson"', 'kind = "projection"', r"data\.xray\.noise"),
        ("[training]", '[critic]\nobjective = "gan"\n[training]', r"critic\.objective"),
    ],
)
def test_malformed_arms_say_what_is_wrong(old: str, new: str, message: str, tmp_path: Path) -> None:
    text = (FOLDER / "dngan-mse.toml").read_text()
    assert old in text
    path = tmp_path / "dngan-mse.toml"
    base = FOLDER / "bases" / "xray.toml"
    path.write_text(text.replace(old, new).replace("bases/xray.toml", str(base)))
    with pytest.raises(RecipeError, match=message):
        Recipe.read(path)


def test_a_start_that_is_not_there_says_what_to_train_first(tmp_path: Path) -> None:
    recipe = Recipe.read(FOLDER / "dngan.toml")
    with pytest.raises(RecipeError, match="train dngan-mse first"):
        load_start(recipe, tmp_path / "dngan", tmp_path)
    recipe = Recipe.read(FOLDER / "drl-a.toml")
    with pytest.raises(RecipeError, match=r"install drl-ct@1\.0\.0"):
        load_start(recipe, tmp_path / "drl-a", tmp_path)

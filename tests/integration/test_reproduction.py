"""Every publication from one's own images to its table, picture and curves, by one command."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from model_store.cli import app
from model_store.reports.reproduction import ReproductionPlan, publications
from model_store.training.recipe import Recipe
from model_store.training.recipe_file import dump_toml, shipped
from tests.support.backbones import random_backbones
from tests.support.factories.training_data import CT, XRAY, write_images


@pytest.fixture(autouse=True)
def _random_backbones(monkeypatch: pytest.MonkeyPatch) -> None:
    random_backbones(monkeypatch)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_images(tmp_path_factory.mktemp("data"))


@pytest.mark.parametrize("name", ["n2n-xray", "wgan", "drl"])
def test_a_publication_from_own_images_to_its_table_picture_and_curves(
    name: str, data: Path, tmp_path: Path
) -> None:
    own, out = tmp_path / "own.toml", tmp_path / "out"
    images = XRAY if name == "n2n-xray" else CT
    own.write_text(dump_toml({"data": images, "training": {"patch": 32, "batch": 2}}))
    command = ["reproduce", name, "--data", str(data), "--with", str(own), "--out", str(out)]
    command += ["--iterations", "1", "--quick", "--threads", "1"]
    command += ["--phantom"] if name == "wgan" else []
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    for figure in ("picture.png", "curves.png", "sweep.png"):
        with Image.open(out / figure) as picture:
            assert min(picture.size) > 200
    recipes = ReproductionPlan.named(name).recipes
    tables = (out / "tables.md").read_text()
    assert all(re.search(rf"\| {recipe} ", tables) for recipe in recipes), tables
    assert "orders hold" in tables
    assert set(json.loads((out / "results.json").read_text())["arms"]) == set(recipes)
    trained = {path: path.stat().st_mtime_ns for path in out.glob("runs/*/average.safetensors")}
    assert len(trained) == len(recipes)
    again = CliRunner().invoke(app, command)
    assert again.exit_code == 0, again.output
    assert {path: path.stat().st_mtime_ns for path in trained} == trained, "nothing is done twice"
    more = CliRunner().invoke(app, [*command, "--iterations", "2"])
    assert more.exit_code == 1
    assert "name another folder" in more.output


def test_every_publication_names_recipes_in_an_order_in_which_they_can_be_trained() -> None:
    for publication in publications().values():
        for names in (publication.recipes, publication.paper):
            for index, name in enumerate(names):
                found = shipped(name)
                assert found is not None, name
                start = Recipe.read(*found).training.start
                assert start is None or "@" in start or start in names[:index], name


def test_what_cannot_be_reproduced_says_why(data: Path, tmp_path: Path) -> None:
    def said(*arguments: str) -> str:
        command = ["reproduce", *arguments, "--data", str(data), "--out", str(tmp_path / "out")]
        done = CliRunner().invoke(app, command)
        assert done.exit_code == 1, done.output
        return " ".join(done.output.split())

    assert "there are dngan, dngan-weights, n2n-xray" in said("nobody")
    assert "no settings are published" in said("sharpxr", "--paper")
    own = tmp_path / "own.toml"
    own.write_text('name = "mine"\n')
    assert "each arm's own" in said("wgan", "--with", str(own))
    own.write_text("[data]\nsauces = 3\n")
    assert "data.ct.sauces: Extra inputs" in said("wgan", "--with", str(own))
    assert "No such file" in said("wgan", "--with", str(tmp_path / "absent.toml"))
    own.write_text(dump_toml({"data": {**XRAY, "held_out": ["nosuch.png"]}}))
    assert "nosuch.png: is held out, and is not there" in said("n2n-xray", "--with", str(own))
    if not torch.cuda.is_available():
        assert "need a GPU, and there is none here" in said("n2n-xray", "--paper")
    listed = CliRunner().invoke(app, ["reproduce", "list"])
    assert "drl: 9 arms" in listed.output

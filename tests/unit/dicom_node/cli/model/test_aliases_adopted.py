"""A network that was trained elsewhere goes the whole way: adopted, measured, signed, promoted."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from model_store.cli import app
from model_store.errors import RecipeError
from model_store.manifest import Manifest
from model_store.store import ModelVersion
from model_store.training.recipe import Recipe
from model_store.training.recipe_file import RECIPES, dump_toml, read_toml
from model_store.training.start import load_start
from tests.unit.dicom_node.cli.model.shell import Shell

foreign = pytest.importorskip("tests.support.factories.foreign")
training_data = pytest.importorskip("tests.support.factories.training_data")

_STATED = [
    "--version", "1.0.0", "--licence", "MIT", "--intended-use", "Trials.", "--training-data",
    "Their hospital.", "--noise", "white", "--limits", "None known.",
]  # fmt: skip


def _store(*arguments: str | Path) -> str:
    done = CliRunner().invoke(app, [str(each) for each in arguments], env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    return done.output


def _recipe(root: Path, shipped: str, data: dict[str, object]) -> Path:
    content = read_toml(RECIPES / f"{shipped}.toml")
    content["data"] = {**content["data"], **data}
    path = root / "data-of.toml"
    path.write_text(dump_toml(content))
    return path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return Path(training_data.write_images(tmp_path / "data"))


def test_from_a_foreign_file_to_a_promoted_version_without_force(
    tmp_path: Path, data: Path, shell: Shell
) -> None:
    file = tmp_path / "theirs.onnx"
    file.write_bytes(foreign.smoother())
    zoo = tmp_path / "zoo"
    noise = ["--name", "theirs", "--noise-min", "0.01", "--noise-max", "0.08"]
    _store("adopt", file, "--like", "n2n-unet-xray@1.0.0", "--zoo", zoo, *noise, *_STATED)
    recipe = _recipe(tmp_path, "n2n-mse-xray", training_data.XRAY)
    common: list[str | Path] = ["theirs@1.0.0", "--data", data, "--zoo", zoo]
    _store("evaluate", *common, "--data-of", recipe, "--quick", "--no-compare", "--write")
    folder = zoo / "theirs" / "1.0.0"
    manifest = Manifest.read(folder / "manifest.json")
    headline = next(iter(manifest.metrics["headline"].values()))
    assert headline["model"] > headline["input"] + 1
    assert manifest.validity is not None
    assert manifest.validity.trained_sd == (0.01, 0.08)
    card = (folder / "card.md").read_text()
    assert "whether its training saw any of them is not known" in card
    assert "## Where it helps and where it harms" in card
    ModelVersion.open(folder).verify()
    shown: list[str | Path] = ["--data", data, "--data-of", recipe]
    page = _store("report", "theirs@1.0.0", "--zoo", zoo, "--out", tmp_path / "pages", *shown)
    assert "theirs@1.0.0.html" in page
    _store("sign", "theirs@1.0.0", "--zoo", zoo, "--key", tmp_path / "keys" / "vendor.key")
    _store("pack", "theirs@1.0.0", "--zoo", zoo, "--out", tmp_path)
    shell.ok("import", str(tmp_path / "theirs-1.0.0.zip"))
    shell.ok("verify", "theirs@1.0.0", "--certify")
    said = shell.ok("promote", "theirs@1.0.0", "--why", "a trial")
    assert "theirs@production stands for theirs@1.0.0" in said
    assert "reference: onnxruntime" in said


def test_a_version_without_a_recipe_says_whose_data_it_wants(tmp_path: Path, data: Path) -> None:
    file, zoo = tmp_path / "theirs.onnx", tmp_path / "zoo"
    file.write_bytes(foreign.foreign("plain"))
    noise = ["--name", "theirs", "--noise-min", "5", "--noise-max", "50"]
    _store("adopt", file, "--like", "drunet-ct@1.2.0", "--zoo", zoo, *noise, *_STATED)
    command = ["evaluate", "theirs@1.0.0", "--data", str(data), "--zoo", str(zoo), "--quick"]
    refused = CliRunner().invoke(app, [*command, "--data-of", "n2n-mse-xray"])
    assert refused.exit_code == 1
    assert "is for stored" in " ".join(refused.output.split())
    refused = CliRunner().invoke(app, [*command, "--data-of", "nobody"])
    assert "--data-of" in refused.output
    start = Recipe.resolve(
        read_toml(RECIPES / "drunet-ct.toml")
        | {"training": {"iterations": 1, "start": "theirs@1.0.0"}},
        "a recipe",
    )
    with pytest.raises(RecipeError, match="trained elsewhere"):
        load_start(start, tmp_path / "run", zoo)

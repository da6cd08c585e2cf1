"""The recipe and the commands of the how-to on fine-tuning, on made-up images, in seconds."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from model_store.cli import app
from model_store.manifest import Manifest
from tests.support.factories.released import key_pair

torch = pytest.importorskip("torch")
training_data = pytest.importorskip("tests.support.factories.training_data")
measure = pytest.importorskip("model_store.evaluation.physics.measure")
phantom = pytest.importorskip("model_store.evaluation.physics.phantom")
study = pytest.importorskip("model_store.evaluation.physics.study")

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "fine-tune.md"
_SECONDS = """
extends = "own.toml"
[data]
phantoms = 0
scanned_phantoms = 0
[training]
iterations = 4
batch = 2
patch = 32
precision = "float32"
"""


@pytest.fixture
def _few_phantoms(monkeypatch: pytest.MonkeyPatch) -> None:
    run, sweep = study.Study.run, measure.strength_sweep
    monkeypatch.setattr(
        study.Study,
        "run",
        lambda model, _data, *, quick: run(
            model, None, quick=quick, conditions=(phantom.SHARP_FULL,)
        ),
    )
    monkeypatch.setattr(measure, "strength_sweep", lambda found: sweep(found, (0.5,)))


def _said(*arguments: str | Path) -> str:
    done = CliRunner().invoke(app, [str(each) for each in arguments], env={"COLUMNS": "300"})
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.usefixtures("_few_phantoms")
def test_the_how_to_from_a_released_version_to_one_of_ones_own(tmp_path: Path) -> None:
    (block,) = re.findall(r"```toml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "own.toml").write_text(block)
    recipe = tmp_path / "seconds.toml"
    recipe.write_text(_SECONDS)
    data = training_data.write_images(tmp_path / "data")
    key_pair(tmp_path / "keys")
    accepted = ("--accept", "physics", "--accept", "evaluate")
    said = _said(
        "make", recipe, "--data", data, "--out", tmp_path / "made", "--strength", "0.5",
        "--budget", "0.05", "--key", tmp_path / "keys" / "vendor.key", "--quick", "--no-compare",
        *accepted,
    )  # fmt: skip
    assert "dicom-node model introduce" in said
    manifest = Manifest.read(tmp_path / "made/zoo/own-drunet-ct/0.1.0/manifest.json")
    assert manifest.metrics["training"]["start"] == "drunet-ct@1.3.0"
    assert manifest.strength == 0.5
    assert set(manifest.metrics["headline"]) == {"simulated noise of 25 HU, patient not trained on"}
    before = _said(
        "evaluate", "drunet-ct@1.3.0", "--data", data, "--data-of", recipe, "--no-compare",
        "--quick",
    )  # fmt: skip
    assert "whether its training saw any of them is not known" in " ".join(before.split())
    changed = manifest.files["model.onnx"]
    released = Manifest.read(_package() / "drunet-ct/1.3.0/manifest.json").files["model.onnx"]
    assert changed != released


def _package() -> Path:
    from model_store.store import packaged_zoo  # noqa: PLC0415

    return packaged_zoo()

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from model_store.cli import app
from model_store.evaluation.physics import measure
from model_store.evaluation.physics.phantom import SHARP_FULL
from model_store.evaluation.physics.study import Model, Study
from model_store.manifest import Manifest
from model_store.store import ModelVersion
from model_store.training.recipe_file import dump_toml
from model_store.training.release import write_metrics, write_physics
from model_store.trust.signature import SIGNATURE
from tests.support.factories.models import model_version
from tests.unit.model_store.evaluation.recipes import CT, recipe

ZOO = Path(__file__).parents[4] / "model_store" / "zoo"


def test_a_model_of_radiographs_is_refused() -> None:
    version = sorted(path.name for path in (ZOO / "n2n-unet-xray").iterdir())[-1]
    result = CliRunner().invoke(app, ["physics", f"n2n-unet-xray@{version}"])
    assert result.exit_code == 1
    assert "no CT model" in result.output


@pytest.mark.parametrize("model", ["none@1.0.0", "none"])
def test_a_version_that_is_not_there_ends_with_an_error(tmp_path: Path, model: str) -> None:
    result = CliRunner().invoke(app, ["physics", model, "--zoo", str(tmp_path)])
    assert result.exit_code == 1
    assert "Error" in result.output


def test_a_strength_above_one_is_refused() -> None:
    result = CliRunner().invoke(app, ["physics", "none@1.0.0", "--strength", "1.5"])
    assert result.exit_code == 2


@pytest.fixture
def version(tmp_path: Path) -> Path:
    """Folder of a CT version with random weights and all files that a released one has."""
    folder = model_version(tmp_path, system="drl").folder
    content = recipe("toy-ct", "drl", CT).model_dump(mode="json", exclude_none=True)
    (folder / "recipe.toml").write_text(dump_toml(content))
    (folder / "weights.safetensors").write_bytes(b"none")
    return folder


@pytest.fixture
def phantoms(monkeypatch: pytest.MonkeyPatch) -> None:
    """One condition instead of three, one strength, and no scans: seconds instead of minutes."""
    run, sweep = Study.run, measure.strength_sweep

    def fewer(model: Model, _data: Path | None, *, quick: bool = False) -> Study:
        return run(model, None, quick=quick, conditions=(SHARP_FULL,))

    monkeypatch.setattr(Study, "run", fewer)
    monkeypatch.setattr(measure, "strength_sweep", lambda study: sweep(study, (0.5,)))


def _measure(folder: Path, *options: str) -> None:
    common = ["physics", "toy-ct@1.0.0", "--zoo", str(folder.parents[1]), "--quick", "--write"]
    done = CliRunner().invoke(app, [*common, *options])
    assert done.exit_code == 0, done.output


@pytest.mark.usefixtures("phantoms")
def test_results_go_into_manifest_and_card_and_later_ones_take_their_place(version: Path) -> None:
    _measure(version, "--strength", "0.5")
    physics = Manifest.read(version / "manifest.json").metrics["physics"]
    assert physics["strength"] == 0.5
    assert physics["passed"] is all(gate["passed"] for gate in physics["gates"])
    assert physics["sweep"]["by_condition"] == {SHARP_FULL.name: None}
    assert "curves" not in physics
    card = (version / "card.md").read_text()
    for wanted in (
        "On phantoms at strength 0.5 it misses",
        "Few images",
        "NPS mean frequency moves by at most",
        "TTF50 kept %",
        "CNR",
    ):
        assert wanted in card, wanted
    for once in ("## On phantoms", "**Acceptance limits at strength 0.5**", "over strengths**"):
        assert card.count(once) == 1, once
    ModelVersion.open(version).verify()

    written = [(version / name).read_bytes() for name in ("manifest.json", "card.md")]
    write_physics(version, physics)
    assert written == [(version / name).read_bytes() for name in ("manifest.json", "card.md")]

    _measure(version, "--strength", "0.4", "--no-sweep")
    card = (version / "card.md").read_text()
    assert "at strength 0.4" in card
    assert "strength 0.5" not in card
    assert "over strengths" not in card


@pytest.mark.parametrize("physics_first", [True, False])
def test_evaluation_and_phantoms_leave_each_other_alone(version: Path, physics_first: bool) -> None:
    sweep: dict[str, Any] = {
        "title": "Acceptance over strengths",
        "columns": ["condition"],
        "rows": [["sharp"]],
    }
    physics: dict[str, Any] = {
        "strength": 0.5,
        "tables": [],
        "sweep": {"strength": None, "table": sweep},
    }
    tables = [{"title": "PSNR", "columns": ["method", "A"], "rows": [["model", 30.0]]}, sweep]
    evaluated: dict[str, Any] = {
        "summary": {"headline": {"A": {"model": 30.0}}, "tables": tables[:1]},
        "validity": {
            "measure": "PSNR",
            "noise": "any",
            "images": 1,
            "gain_curve": [[20.0, 3.0], [30.0, 1.0]],
            "noise_sd": [0.1, 0.03],
            "trained_sd": [0.0, 0.1],
            "trained_psnr": [20.0, 30.0],
            "statement": "It helps.",
        },
    }
    if physics_first:
        write_physics(version, physics)
        write_metrics(version, evaluated)
    else:  # also where somebody put the same table among those of the evaluation
        write_metrics(version, evaluated | {"summary": evaluated["summary"] | {"tables": tables}})
        write_physics(version, physics)
    metrics = Manifest.read(version / "manifest.json").metrics
    assert metrics["physics"] == physics
    assert [table["title"] for table in metrics["tables"]] == ["PSNR"]
    card = (version / "card.md").read_text()
    assert card.index("## Measured") < card.index("**PSNR**") < card.index("## On phantoms")
    assert card.count("**Acceptance over strengths**") == 1
    assert "No strength keeps every limit" in card


def test_without_a_recipe_nothing_is_measured_for_a_card(version: Path) -> None:
    (version / "recipe.toml").unlink()
    common = ["physics", "toy-ct@1.0.0", "--zoo", str(version.parents[1]), "--write"]
    done = CliRunner().invoke(app, common)
    assert done.exit_code == 1
    assert "RecipeError" in done.output


@pytest.mark.parametrize("command", ["physics", "evaluate"])
def test_nothing_is_written_into_a_signed_version(version: Path, command: str) -> None:
    (version / SIGNATURE).write_text("signed")
    before = (version / "manifest.json").read_bytes()
    common = [command, "toy-ct@1.0.0", "--zoo", str(version.parents[1]), "--write"]
    done = CliRunner().invoke(app, [*common, "--data", str(version)])
    assert done.exit_code == 1
    assert "is signed" in done.output
    assert (version / "manifest.json").read_bytes() == before

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from typer.testing import CliRunner

from model_store.cli import app
from model_store.errors import DataError
from model_store.evaluation.arms import Arm, compare_arms
from model_store.evaluation.card import render_card, table_of
from model_store.evaluation.filter_file import FilterFile
from model_store.evaluation.groups import Group, tables
from model_store.evaluation.margins import margins
from model_store.evaluation.report import evaluate_version
from model_store.evaluation.trial import Trial
from model_store.manifest import Manifest
from model_store.training.recipe import Recipe
from model_store.training.recipe_file import dump_toml
from tests.support.factories.models import STORED, model_version
from tests.unit.model_store.evaluation.recipes import CONTENT, CRITIC, POISSON, XRAY, recipe

Floats = NDArray[np.float32]
_DNGAN = XRAY | {"noise": {"kind": "poisson", "psnr": 24.15}, "held_out": ["a.png", "b.png"]}


class _Blur:
    """A denoiser that is a Gaussian."""

    margin = 4

    def __init__(self, deviation: float) -> None:
        self._deviation = deviation

    def __call__(self, image: Floats, *, beyond: bool = False) -> Floats:
        return np.asarray(ndimage.gaussian_filter(image, self._deviation), dtype=np.float32)


@pytest.fixture
def radiographs(tmp_path: Path) -> Path:
    y, x = np.mgrid[0:150, 0:150]
    (tmp_path / "xray").mkdir()
    for name, phase in (("a.png", 0), ("b.png", 1)):
        image = 0.5 + 0.3 * np.sin(x / 30 + phase) * np.cos(y / 40)
        picture = Image.fromarray((image * 65535).astype(np.uint16))
        picture.save(tmp_path / "xray" / name)
    return tmp_path


@pytest.fixture
def version(tmp_path: Path) -> Path:
    """Folder of a version with random weights, its recipe beside it."""
    folder = model_version(
        tmp_path / "zoo", "toy-xray", input_spec=STORED, modality=("DX",), system="n2n-unet"
    ).folder
    content = recipe("toy-xray", data=_DNGAN).model_dump(mode="json", exclude_none=True)
    (folder / "recipe.toml").write_text(dump_toml(content))
    assert Recipe.read(folder / "recipe.toml").name == "toy-xray"
    return folder


def _trial(name: str, model: float, gaussian: tuple[float, float]) -> Trial:
    settings = {
        "gaussian": {str(key): {"PSNR": value} for key, value in enumerate(gaussian)},
    }
    scores = {
        "input": {"PSNR": 24.0, "noise 1e-3": 60.0},
        "gaussian": {"PSNR": max(gaussian)},
        "model": {"PSNR": model, "noise 1e-3": 10.0},
        "model-strength": {"PSNR": model},
    }
    return Trial("Poisson noise, 29.91 dB", name, "PSNR", scores, settings)


def _groups() -> list[Group]:
    return Group.of([_trial("a", 36, (30, 34)), _trial("b", 38, (36, 33))])


def test_best_per_image_and_one_setting_are_rows_of_their_own() -> None:
    shown = {row[0]: row[1:] for row in tables(_groups())[0]["rows"]}
    assert shown["model"] == [37]
    assert shown["gaussian"] == [35]
    # each image's setting is the one best on the other: 30 for a (b is best at 0), 33 for b
    assert shown["gaussian, one setting"] == [31.5]


def test_the_margin_is_said_beside_the_publications() -> None:
    result = margins(_groups(), recipe(data=XRAY | {"noise": POISSON}), {"iterations": 1000})
    assert result["table"]["rows"][0][1:3] == [2, 5.5]
    assert "+2.0 to +2.0 dB" in result["statement"]
    assert "+4.8 dB" in result["statement"]
    assert "short by 2.8 dB" in result["statement"]
    assert "16,000 patches of 64 x 64" in result["statement"]


def test_no_margin_is_claimed_for_a_perceptual_model() -> None:
    perceptual = recipe(system="dngan", loss=[CONTENT], critic=CRITIC)
    assert "no margin is claimed" in margins(_groups(), perceptual, {})["statement"]


def test_arms_are_measured_on_the_same_cases_beside_the_publication(radiographs: Path) -> None:
    strong = Arm("fidelity", _Blur(3), recipe("fidelity", "dngan", _DNGAN), 5.0)
    weak = Arm(
        "all",
        _Blur(1),
        recipe("all", "dngan", _DNGAN, [{"name": "mse"}, CONTENT, {"name": "tv"}], CRITIC),
        None,
    )
    result = compare_arms([strong, weak], radiographs)
    condition, order = result["summary"]["tables"]
    rows = {row[0]: row[1:] for row in condition["rows"]}
    assert rows["fidelity"][3:6] == [5.0, "DNGAN-MSE", 35.04]
    assert rows["all"][4:] == ["DNGAN", 32.95, 0.894, 0.043]
    assert rows["fidelity"][0] > rows["all"][0] > rows["input"][0]
    assert ["BM3D", 33.18, 0.904, 0.119] in [row[5:] for row in condition["rows"]]
    kept = {(row[1], row[2], row[3]): row[-2:] for row in order["rows"]}
    assert kept == {
        ("PSNR", "DNGAN-MSE", "DNGAN"): ["yes", "2 of 2"],
        ("SSIM", "DNGAN-MSE", "DNGAN"): ["yes", "2 of 2"],
    }
    psnr, _ssim, held = result["summary"]["orders"]
    assert psnr.startswith("PSNR: fidelity > all: holds (ours +")
    assert psnr.endswith("published +2.09; on 2 of 2 images)")
    assert held == "2 of 2 orders hold."


def test_two_arms_of_one_name_are_refused(radiographs: Path) -> None:
    arm = Arm("one", _Blur(1), recipe(data=_DNGAN), None)
    with pytest.raises(DataError, match="same name"):
        compare_arms([arm, arm], radiographs)


def test_a_version_is_measured_and_its_card_shows_it(radiographs: Path, version: Path) -> None:
    filters = FilterFile(radiographs / "filters.json", quick=True)
    results = evaluate_version(version, radiographs, filters=filters, quick=True)
    summary = results["summary"]
    assert "left out: its weights were not given" in summary["tables"][0]["note"]
    assert summary["headline"]["Poisson noise, 24.15 dB"]["images"] == 2
    assert json.loads((radiographs / "filters.json").read_text())["cases"]
    manifest = Manifest.read(version / "manifest.json")
    changes: dict[str, Any] = {"metrics": summary, "validity": results["validity"]}
    measured = Manifest.model_validate({**manifest.model_dump(), **changes})
    card = render_card(measured, Recipe.read(version / "recipe.toml"))
    assert "## Where it helps and where it harms" in card
    assert table_of(summary["tables"][0]) in card
    assert summary["margin"] in card


def test_the_commands(radiographs: Path, version: Path) -> None:
    common = ["toy-xray@1.0.0", "--data", str(radiographs), "--zoo", str(version.parents[1])]
    markdown, out = radiographs / "tables.md", radiographs / "out.json"
    files = ["--quick", "--markdown", str(markdown), "--out", str(out)]
    done = CliRunner().invoke(app, ["evaluate", *common, "--no-compare", *files])
    assert done.exit_code == 0, done.output
    assert "validity" in json.loads(out.read_text())
    done = CliRunner().invoke(app, ["arms", *common, *files])
    assert done.exit_code == 0, done.output
    assert "Poisson noise, 24.15 dB" in markdown.read_text()
    done = CliRunner().invoke(app, ["arms", "nothing", *common[1:]])
    assert done.exit_code == 1
    assert "RecipeError" in done.output

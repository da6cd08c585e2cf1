"""Every published system from recipe to page: trained for one iteration, measured, reported."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

import model_store.training
from model_store.evaluation.report import evaluate_version
from model_store.reports.writing import write_reports
from model_store.store import ModelStore
from model_store.training import run
from model_store.training.backbones import Backbone, build_backbone
from model_store.training.recipe_file import dump_toml, read_toml
from model_store.training.release import release, write_metrics
from tests.support.factories.training_data import CT, XRAY, write_images

_RECIPES = Path(model_store.training.__file__).parent / "recipes"
_WIDTHS: dict[str, dict[str, Any]] = {"n2n-unet": {}, "sharpxr": {"widths": [4, 5, 6, 7]}}
_SYSTEMS: dict[str, tuple[tuple[str, ...], tuple[str, ...], list[str]]] = {
    "dngan": (
        ("dngan-mse", "dngan"),
        ("dngan",),
        ["Sun et al., J X-Ray Sci Technol 26:523 (2018), Table 1", "Table 2", "PDR by factor"],
    ),
    "n2n-mse-xray": (("n2n-mse-xray",), ("n2n-mse-xray",), ["Table III", "N2C-MSE", "40.54"]),
    "sharpxr-stage2": (
        ("sharpxr-stage1", "sharpxr-stage2"),
        ("sharpxr-stage2",),
        ["read-me of its code", "Sharp U-Net", "35.52"],
    ),
    "wgan-vgg": (
        ("generator-mse", "wgan-vgg"),
        ("wgan-vgg",),
        ["Table 3", "Table 2", "Eulig et al., Med Phys 51:8776 (2024), abdomen"],
    ),
    "drl-cascade": (
        ("drl-b", "drl-cascade-c", "drl-cascade-3", "drl-cascade-3-blended"),
        ("drl-cascade-c", "drl-cascade-3", "drl-cascade-3-blended"),
        ["Figures 2, 5 and 6", "cascade C, 3 levels, blended", "225,601"],
    ),
}


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    def random(name: str, layers: tuple[int | str, ...], _weights: Path | None) -> Backbone:
        return build_backbone(name, layers)  # type: ignore[arg-type]

    monkeypatch.setattr(run, "load_backbone", random)
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_images(tmp_path_factory.mktemp("data"))


def _toy(name: str, folder: Path) -> Path:
    """The shipped recipe on made-up data, its networks as narrow as they may be."""
    content = read_toml(_RECIPES / f"{name}.toml", None)
    generator, training = content["generator"], content["training"]
    generator |= _WIDTHS.get(generator["system"], {"width": 4})
    training |= {"patch": 32, "batch": 2, "precision": "float32"}
    training["iterations"] = min(training["iterations"], 1)
    if "@" in training.get("start", ""):
        del training["start"]
    if "critic" in content:
        network = content["critic"]["network"]
        network |= {"width": 4} | ({} if network["system"] == "patchgan" else {"hidden": 8})
    content["data"] |= CT if content["data"]["kind"] == "ct" else XRAY
    content["version"] = "1.0.0"  # whatever the recipe's is by now
    path = folder / f"{name}.toml"
    path.write_text(dump_toml(content))
    return path


@pytest.mark.parametrize("system", _SYSTEMS)
def test_a_system_from_recipe_to_page(system: str, data: Path, tmp_path: Path) -> None:
    trained, released, published = _SYSTEMS[system]
    for name in trained:
        run.train(_toy(name, tmp_path), data, tmp_path / "runs" / name, cache=tmp_path / "cache")
    for name in released:
        folder = release(tmp_path / "runs" / name, tmp_path / "zoo")
        write_metrics(folder, evaluate_version(folder, data, quick=True))
    store, out = ModelStore(tmp_path / "zoo"), tmp_path / "out"
    bare = write_reports(store, store.versions(), out / "bare")
    full = write_reports(store, store.versions(), out / "full", data=data)
    assert [page.name for page in bare] == [page.name for page in full]
    for name in released:
        assert "<img " not in (out / "bare" / f"{name}@1.0.0.html").read_text("utf-8")
        page = (out / "full" / f"{name}@1.0.0.html").read_text("utf-8")
        assert page.count("<img ") >= 4
        plain = re.sub(r"<[^>]+>", " ", page)
        for wanted in (*published, "In bold: the arm that this model follows", ", input"):
            assert wanted in plain, wanted
        differences = plain.partition("What differs")[2].partition("The paper, on other data")[0]
        assert len(differences.split()) > 30

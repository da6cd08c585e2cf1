from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from model_store.errors import DataError
from model_store.evaluation import filter_file, filters
from model_store.evaluation.filter_file import FilterFile
from model_store.evaluation.filters import FilterSettings
from model_store.evaluation.metrics import psnr
from model_store.evaluation.trial import Case, Scorer

Floats = NDArray[np.float32]


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the cases whose filters were run, which here takes no time."""
    names: list[str] = []

    def run(case: Case, *, quick: bool = False) -> FilterSettings:
        names.append(case.name)
        scores = case.score(case.crop(case.noisy), case.crop(case.reference))
        return {"gaussian": {"1": scores}}

    monkeypatch.setattr(filter_file, "run_filters", run)
    monkeypatch.setattr(filters, "_grids", lambda *, quick: {"gaussian": ["1"]})
    return names


def _plain(image: Floats, reference: Floats) -> dict[str, float]:
    return {"PSNR": psnr(image, reference)}


def _more(image: Floats, reference: Floats) -> dict[str, float]:
    return {**_plain(image, reference), "PDR": 0.5}


def _case(name: str = "one", noise: float = 0.1, score: Scorer = _plain) -> Case:
    reference = np.zeros((40, 40), np.float32)
    return Case("group", name, reference + noise, reference, (20, 20), score, "PSNR", size=32)


def test_a_known_case_is_not_measured_again(runs: list[str], tmp_path: Path) -> None:
    path = tmp_path / "folder" / "filters.json"
    first = FilterFile(path).of(_case())
    assert FilterFile(path).of(_case()) == first
    assert FilterFile(path).of(_case("two"))["gaussian"]["1"]["PSNR"] == pytest.approx(20)
    assert runs == ["one", "two"]


def test_other_pixels_or_grids_are_another_case(runs: list[str], tmp_path: Path) -> None:
    path = tmp_path / "filters.json"
    FilterFile(path).of(_case())
    FilterFile(path).of(_case(noise=0.2))
    FilterFile(path, quick=True).of(_case())
    assert len(runs) == 3
    assert len(json.loads(path.read_text())["cases"]) == 3


def test_a_metric_more_is_measured_and_one_less_left_out(runs: list[str], tmp_path: Path) -> None:
    path = tmp_path / "filters.json"
    FilterFile(path).of(_case())
    assert FilterFile(path).of(_case(score=_more))["gaussian"]["1"]["PDR"] == 0.5
    assert set(FilterFile(path).of(_case())["gaussian"]["1"]) == {"PSNR"}
    assert len(runs) == 2


def test_two_evaluations_add_to_one_file(runs: list[str], tmp_path: Path) -> None:
    path = tmp_path / "filters.json"
    one, two = FilterFile(path), FilterFile(path)
    one.of(_case("one"))
    two.of(_case("two"))
    assert len(json.loads(path.read_text())["cases"]) == 2


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"cases": []}'])
def test_another_file_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "filters.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match="filters"):
        FilterFile(path)

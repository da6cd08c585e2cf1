import json
from pathlib import Path
from typing import Any

import pytest

from model_store.errors import ManifestError
from model_store.manifest import Manifest
from tests.support.factories.models import model_version


@pytest.fixture
def written(tmp_path: Path) -> Path:
    return model_version(tmp_path).folder / "manifest.json"


def _change(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}), encoding="utf-8")


def test_what_is_written_is_what_is_read(written: Path, tmp_path: Path) -> None:
    manifest = Manifest.read(written)
    manifest.write(tmp_path / "again.json")
    assert Manifest.read(tmp_path / "again.json") == manifest
    assert str(manifest.ref) == "toy-ct@1.0.0"


def test_what_is_wrong_is_said_in_one_line_for_each_key(written: Path) -> None:
    _change(written, unknown=1, output="noise", parameters=-1)
    document = json.loads(written.read_text())
    del document["licence"]
    written.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(ManifestError) as caught:
        Manifest.read(written)
    first, *lines = str(caught.value).splitlines()
    assert "get a correct one from its releaser" in first
    assert sorted(lines) == [
        "  licence: is missing",
        "  output: must be 'image' or 'residual'",
        "  parameters: must be greater than or equal to 0",
        "  unknown: is no key of a manifest",
    ]
    assert "pydantic" not in str(caught.value)


def test_a_metric_that_is_no_number_is_refused_with_its_key(written: Path) -> None:
    _change(written, metrics={"headline": {"chest": [1.0, float("nan")]}})
    with pytest.raises(ManifestError, match=r"metrics\.headline\.chest\.1: is NaN"):
        Manifest.read(written)


def test_a_metric_that_is_no_number_is_not_written(written: Path, tmp_path: Path) -> None:
    manifest = Manifest.read(written).model_copy(update={"metrics": {"gain": float("nan")}})
    with pytest.raises(ManifestError, match=r"metrics\.gain: is NaN"):
        manifest.write(tmp_path / "other.json")
    assert not (tmp_path / "other.json").exists()


def test_a_missing_manifest_is_our_error(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"manifest\.json"):
        Manifest.read(tmp_path / "manifest.json")


@pytest.mark.parametrize("text", ["", "{", "[]", '"x"', "\0"])
def test_text_that_is_no_manifest_is_refused(written: Path, text: str) -> None:
    written.write_text(text, encoding="utf-8")
    with pytest.raises(ManifestError):
        Manifest.read(written)


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "Bad Name"},
        {"version": "one"},
        {"files": {}},
        {"files": {"model.onnx": "short"}},
        {"onnx": "other.onnx"},
        {"unknown": 1},
        {"output": "noise"},
        {"input": {"units": "HU", "minimum": 5.0, "maximum": 5.0}},
        {"input": {"units": "HU", "minimum": 0.0, "maximum": 5.0, "scale": 0.0}},
        {"tiling": {"margin": -1, "stride": 1}},
        {"tiling": {"margin": 1, "stride": 0}},
    ],
)
def test_a_manifest_that_contradicts_itself_is_refused(
    written: Path, changes: dict[str, Any]
) -> None:
    _change(written, **changes)
    with pytest.raises(ManifestError):
        Manifest.read(written)

"""One command from a recipe to a zip file: it stops at a limit, and goes on where it stopped."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from model_store.cli import app
from model_store.manifest import Manifest
from model_store.training.recipe_file import RECIPES, dump_toml, read_toml
from model_store.trust.signature import SIGNATURE
from tests.support.factories.released import key_pair

pytest.importorskip("torch")
training_data = pytest.importorskip("tests.support.factories.training_data")

_STEPS = ["train", "export", "physics", "evaluate", "verify", "report", "sign", "pack"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a recipe of ten iterations, its images, and a key."""
    training_data.write_images(tmp_path / "data")
    content = read_toml(RECIPES / "drunet-xray.toml")
    content |= {"name": "own-xray", "version": "0.1.0"}
    content["generator"] = {"system": "drl", "width": 4}
    content["data"] |= training_data.XRAY
    short = {"iterations": 10, "batch": 2, "patch": 16, "warmup": 1}
    content["training"] |= short
    content["training"].pop("start", None)
    (tmp_path / "own.toml").write_text(dump_toml(content))
    key_pair(tmp_path / "keys")
    return tmp_path


def _make(folder: Path, *more: str) -> Result:
    given = ["--data", str(folder / "data"), "--out", str(folder / "made"), "--quick"]
    command = ["make", str(folder / "own.toml"), *given, "--no-compare", *more]
    return CliRunner().invoke(app, command, env={"COLUMNS": "300"})


def _signed(folder: Path) -> list[str]:
    return ["--key", str(folder / "keys" / "vendor.key")]


def _limit(folder: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """Let what a step measured miss its limit, as a network that was hardly trained would."""
    from model_store.making import steps  # noqa: PLC0415
    from model_store.making.state import Done  # noqa: PLC0415

    own = steps.STEPS[step]

    def missed(wanted: steps.Wanted, told: steps.Teller) -> Done:
        return Done(own(wanted, told).said, "it makes these images worse.")

    monkeypatch.setattr(steps, "STEPS", {**steps.STEPS, step: missed})
    monkeypatch.setattr("model_store.making.make.STEPS", steps.STEPS)


def test_from_a_recipe_to_a_zip_file_stopping_where_a_limit_is_missed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        _limit(folder, patch, "evaluate")
        done = _make(folder)
        assert done.exit_code == 3, done.output
        for said in ("10 iterations", "nothing to measure on phantoms", "--accept evaluate"):
            assert said in done.output
        assert not (folder / "made" / "report").exists()
        again = _make(folder)
        assert again.exit_code == 3
        assert "iterations in" in again.output
        assert again.output.count("(before)") == 4, "what was measured is not measured again"
    stopped = _make(folder, "--accept", "evaluate")
    assert stopped.exit_code == 3
    assert "sign: no --key was given" in stopped.output
    assert (folder / "made" / "report" / "own-xray@0.1.0.html").is_file()
    packed = _make(folder, "--accept", "evaluate", *_signed(folder))
    assert packed.exit_code == 0, packed.output
    assert "dicom-node model introduce" in packed.output
    assert (folder / "made" / "own-xray-0.1.0.zip").is_file()
    version = folder / "made" / "zoo" / "own-xray" / "0.1.0"
    assert (version / SIGNATURE).is_file()
    assert "headline" in Manifest.read(version / "manifest.json").metrics
    assert list(json.loads((folder / "made" / "made.json").read_text())["done"]) == _STEPS
    last = _make(folder, "--accept", "evaluate", *_signed(folder))
    assert last.output.count("(before)") == len(_STEPS)
    begun = _make(folder, "--from", "export", "--accept", "evaluate", *_signed(folder))
    assert begun.exit_code == 1
    assert "a version never changes" in begun.output


def test_an_interrupted_training_is_gone_on_with(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from model_store.training import run  # noqa: PLC0415

    resumed: list[bool] = []
    own = run.train

    def interrupted(*arguments: object, resume: bool, **more: object) -> object:
        resumed.append(resume)
        own(*arguments, resume=resume, **more)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(run, "train", interrupted)
        assert _make(folder).exit_code != 0
    assert not (folder / "made" / "made.json").exists()
    with monkeypatch.context() as patch:
        patch.setattr(run, "train", interrupted)
        _make(folder)
    assert resumed == [False, True]


def test_another_recipe_is_not_mixed_with_what_was_made(folder: Path) -> None:
    (folder / "made").mkdir()
    (folder / "made" / "made.json").write_text('{"recipe": "another", "done": {}}')
    done = _make(folder)
    assert done.exit_code == 1
    assert "begun with another recipe" in done.output
    (folder / "made" / "made.json").write_text("[]")
    assert "is damaged" in _make(folder).output

"""From own pairs of noisy images, in whatever files they lie, to a measured version."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file
from typer.testing import CliRunner

from model_store.cli import app
from model_store.evaluation.run_model import RunModel
from model_store.manifest import Manifest
from model_store.training.checkpoint import AVERAGE
from model_store.training.recipe import Recipe
from model_store.training.run import build_trainer, open_source
from tests.support.factories.pairs import (
    Floats,
    noisy,
    scene,
    write_ct,
    write_hdf5,
    write_nifti,
    write_png,
)

torch = pytest.importorskip("torch")

_NOISE = 60.0
_PATIENTS = [f"Phantom^{number}" for number in range(8)]
_SLICES = 3

_RECIPE = """
extends = "n2n-pairs-ct"
name = "own"
generator = { system = "drl", width = 8 }
[data]
noisy = "one"
partner = "two"
%s
[training]
iterations = 150
batch = 4
patch = 32
warmup = 10
learning_rate = 3e-3
average = 0.97
[release]
modality = ["CT"]
"""


def _images(patient: int) -> list[Floats]:
    return [scene(100 * patient + index) for index in range(_SLICES)]


def _exposure(patient: int, side: int) -> Floats:
    images = _images(patient)
    return np.stack([noisy(one, _NOISE, 10 * patient + side) for one in images])


def _dicom(folder: Path, patient: int, side: int) -> None:
    for index, values in enumerate(_exposure(patient, side)):
        path = folder / _PATIENTS[patient] / f"IM{index + 5 * side}"
        write_ct(path, values, position=3.0 * index, PatientID=f"ID{patient}")


def _png(folder: Path, patient: int, side: int) -> None:
    for index, values in enumerate(_exposure(patient, side)):
        write_png(folder / _PATIENTS[patient] / f"{index}.png", values)


def _nifti(folder: Path, patient: int, side: int) -> None:
    write_nifti(folder / f"{_PATIENTS[patient]}.nii.gz", _exposure(patient, side))


def _hdf5(folder: Path, patient: int, side: int) -> None:
    write_hdf5(folder / f"{_PATIENTS[patient]}.h5", (_exposure(patient, side) + 1001) / 4072)


_KINDS: dict[str, tuple[Callable[[Path, int, int], None], str]] = {
    "DICOM": (_dicom, 'match = "geometry"'),
    "PNG": (_png, 'match = "name"\npatient = "folder"\noffset = -32768'),
    "NIfTI": (_nifti, 'match = "name"\npatient = "file"'),
    "HDF5": (_hdf5, 'match = "name"\npatient = "file"\nslope = 4072\noffset = -1001'),
}


def _run(*arguments: str | Path) -> str:
    done = CliRunner().invoke(app, [str(word) for word in arguments])
    assert done.exit_code == 0, done.output
    return done.output


def _left(run: Path) -> float:
    """Noise after, over noise before, in bodies that no network has seen."""
    model = RunModel(run)
    before, after = [], []
    for index in range(4):
        clean = scene(9000 + index)
        image = noisy(clean, _NOISE, 9000 + index)
        body = clean > -500
        before.append(np.mean((image - clean)[body] ** 2))
        after.append(np.mean((model(image) - clean)[body] ** 2))
    return float(np.sqrt(np.mean(after) / np.mean(before)))


@pytest.mark.parametrize("kind", list(_KINDS))
def test_two_noisy_exposures_teach_a_network_to_take_noise_away(kind: str, tmp_path: Path) -> None:
    write, keys = _KINDS[kind]
    data, out, recipe = tmp_path / "data", tmp_path / "run", tmp_path / "own.toml"
    for side, name in enumerate(("one", "two")):
        for patient in range(len(_PATIENTS)):
            write(data / name, patient, side)
    recipe.write_text(_RECIPE % keys)
    inspected = _run("pairs", recipe, "--data", data)
    assert "training" in inspected
    trained = _run("train", recipe, "--data", data, "--out", out)
    assert "noisy and noisy, both ways" in trained
    facts = json.loads((out / "pairs.json").read_text())
    assert sum(facts["patients"].values()) == len(_PATIENTS)
    assert facts["pairs"]["training"] == _SLICES * facts["patients"]["training"]
    assert facts["noise_sd"][0] == pytest.approx(_NOISE, rel=0.3)
    assert (facts["refused"], facts["alone"]) == ([], [])
    logged = json.loads((out / "log.jsonl").read_text().splitlines()[0])
    assert logged["pairs"]["pairs"] == facts["pairs"]
    assert _left(out) < 0.65


def test_a_table_names_slices_patients_and_their_sides(tmp_path: Path) -> None:
    data, recipe, out = tmp_path / "data", tmp_path / "own.toml", tmp_path / "run"
    lines = ["noisy,partner,slice,patient,split"]
    for patient, split in enumerate(("training", "training", "validation", "test")):
        for side, name in enumerate(("one", "two")):
            write_hdf5(data / "files" / f"{patient}-{name}.h5", _exposure(patient, side))
        for index in (0, 2):
            files = f"files/{patient}-one.h5,files/{patient}-two.h5"
            lines.append(f"{files},{index},{_PATIENTS[patient]},{split}")
    (data / "pairs.csv").write_text("\n".join(lines) + "\n")
    recipe.write_text(
        'extends = "n2n-pairs-ct"\nname = "own"\ngenerator = { system = "drl", width = 4 }\n'
        '[data]\nkind = "pairs"\ntable = "pairs.csv"\ntarget = "noisy"\npatient = "column"\n'
        "[training]\niterations = 2\npatch = 32\n"
    )
    said = _run("train", recipe, "--data", data, "--out", out)
    assert "4 (2) for training, 2 (1) for validation; patients kept for the test: 1" in said
    kept = b"".join(path.read_bytes() for path in out.rglob("*") if path.is_file())
    assert b"Phantom" not in kept


def test_a_run_that_was_stopped_goes_on_with_the_pairs_that_it_has_read(tmp_path: Path) -> None:
    data, recipe = tmp_path / "data", tmp_path / "own.toml"
    for side, name in enumerate(("one", "two")):
        for patient in range(len(_PATIENTS)):
            _nifti(data / name, patient, side)
    keys = 'match = "name"\npatient = "file"'
    recipe.write_text((_RECIPE % keys).replace("iterations = 150", "iterations = 20"))
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    _run("train", recipe, "--data", data, "--out", whole)
    parsed, cache = Recipe.read(recipe), whole / "cache"
    first = build_trainer(parsed, open_source(parsed, data, cache))
    first.run(halves, until=9)
    _run("train", recipe, "--data", data, "--out", halves, "--cache", cache, "--resume")
    one, other = (load_file(run / AVERAGE) for run in (whole, halves))
    assert all(torch.equal(one[key], other[key]) for key in one)
    assert not (halves / "cache").exists()
    notes = [line for line in (halves / "log.jsonl").read_text().splitlines() if "pairs" in line]
    assert json.loads(notes[0])["step"] == 9


def test_a_version_trained_on_pairs_is_measured_on_the_patients_kept_for_the_test(
    tmp_path: Path,
) -> None:
    data, out, zoo = tmp_path / "data", tmp_path / "run", tmp_path / "zoo"
    recipe = tmp_path / "own.toml"
    for side, name in enumerate(("one", "two")):
        for patient in range(len(_PATIENTS)):
            _dicom(data / name, patient, side)
    recipe.write_text(_RECIPE % 'match = "geometry"')
    _run("train", recipe, "--data", data, "--out", out)
    _run("export", out, "--zoo", zoo)
    common = ("own@1.0.0", "--data", data, "--zoo", zoo, "--no-compare")
    shown = _run("evaluate", *common, "--write", "--out", tmp_path / "out.json")
    assert "its noise is in every score" in " ".join(shown.split())
    manifest = Manifest.read(zoo / "own" / "1.0.0" / "manifest.json")
    (found,) = manifest.metrics["headline"].values()
    assert found["model"] > found["input"] + 1
    assert manifest.validity is None
    texts = ("manifest.json", "card.md", "recipe.toml")
    kept = [(zoo / "own" / "1.0.0" / name).read_text() for name in texts]
    assert not any("Phantom^" in text or "ID3" in text for text in kept)
    card = (zoo / "own" / "1.0.0" / "card.md").read_text()
    assert "Pairs (noisy and noisy, both ways), by patient:" in card
    assert "pairs, against the other exposure" in card
    _run("report", "own@1.0.0", "--data", data, "--zoo", zoo, "--out", tmp_path / "reports")
    page = (tmp_path / "reports" / "own@1.0.0.html").read_text()
    assert "Pairs (noisy and noisy, both ways), by patient:" in page
    assert "patient 1, pair 1" in page

    # the same images as pairs of somebody's, one side now the clean one
    clean = tmp_path / "clean.toml"
    clean.write_text(
        '[data]\nkind = "pairs"\nnoisy = "one"\npartner = "clean"\nmatch = "geometry"\n'
        "validation = 0\ntest = 1.0\n"
    )
    for patient in range(len(_PATIENTS)):
        for index, values in enumerate(_images(patient)):
            path = data / "clean" / f"{patient}-{index}"
            write_ct(path, values, position=3.0 * index, PatientID=f"ID{patient}")
    _run("evaluate", *common, "--pairs", clean, "--write")
    metrics = Manifest.read(zoo / "own" / "1.0.0" / "manifest.json").metrics
    assert metrics["headline"] == {"pairs, against the other exposure": found}
    (beside,) = metrics["pairs"]["headline"].values()
    assert beside["images"] == len(_PATIENTS) * _SLICES
    assert beside["model"] > beside["input"] + 2
    assert "## On pairs of images" in (zoo / "own" / "1.0.0" / "card.md").read_text()

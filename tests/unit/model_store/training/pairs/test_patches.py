from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model_store.errors import DataError, RecipeError
from model_store.training.pairs.cache import StoredPair, prepare_pairs
from model_store.training.pairs.facts import Facts, sentence
from model_store.training.pairs.patches import PairPatches
from model_store.training.pairs.section import PairsData
from model_store.training.recipe import InputSection
from tests.support.factories.pairs import fraction, noisy, scene, write_ct

_HU = InputSection(units="HU", offset=0, scale=1024)
_STORED = InputSection(units="stored")


def _section(**given: Any) -> PairsData:
    base = {"kind": "pairs", "noisy": "low", "partner": "full", "patient": "folder"}
    return PairsData.model_validate(base | given)


def _pair(seed: int = 0, *, validation: bool = False) -> StoredPair:
    low, full = (fraction(noisy(scene(seed), level, seed)) for level in (100, 1))
    return StoredPair(low, full, 0.05, validation)


def _source(*pairs: StoredPair, seed: int = 0, **given: Any) -> PairPatches:
    return PairPatches(list(pairs), _section(**given), _STORED, batch=16, patch=32, seed=seed)


def _write(folder: Path, patients: int = 6) -> None:
    for number in range(patients):
        for index in range(2):
            clean = scene(10 * number + index)
            for side, level in (("low", 30), ("full", 3)):
                path = folder / side / f"Phantom^{number}" / f"{index}.IMA"
                write_ct(path, noisy(clean, level, number), PatientID=f"SECRET{number}")


def test_a_batch_depends_on_seed_and_step_alone_and_shows_one_window_of_both() -> None:
    one, other = _source(_pair()).batch(3), _source(_pair()).batch(3)
    assert np.array_equal(one.noisy, other.noisy)
    assert not np.array_equal(one.noisy, _source(_pair(), seed=1).batch(3).noisy)
    assert one.noisy.shape == (16, 1, 32, 32)
    assert one.weight.max() < 0.2, "noisy pairs weigh less"
    difference = one.noisy - one.target
    assert 0.03 < difference.std() < 0.07, "the same place, the same turn"


def test_exposures_are_trained_on_both_ways_and_clean_partners_never_are_an_input() -> None:
    pair = StoredPair(np.zeros((64, 64), np.float32), np.ones((64, 64), np.float32), 0.1, False)
    inputs = _source(pair, target="noisy").batch(0).noisy.mean((1, 2, 3))
    assert 4 <= inputs.sum() <= 12
    assert not _source(pair, target="clean").batch(0).noisy.any()


def test_validation_draws_from_other_patients() -> None:
    dark = StoredPair(np.zeros((64, 64), np.float32), np.zeros((64, 64), np.float32), 0.1, True)
    source = _source(_pair(), dark)
    assert not source.validation(0).noisy.any()
    assert source.batch(0).noisy.any(axis=(1, 2, 3)).all()
    assert _source(_pair()).validation(0).noisy.any(), "without such, other windows"


def test_an_image_smaller_than_a_patch_is_refused() -> None:
    small = StoredPair(np.zeros((16, 64), np.float32), np.zeros((16, 64), np.float32), 0.1, False)
    with pytest.raises(DataError, match="at least 32 rows"):
        _source(small)


def test_pairs_are_read_once_and_the_test_is_not_read_at_all(tmp_path: Path) -> None:
    _write(tmp_path)
    section, cache = _section(), tmp_path / "cache"
    steps: list[tuple[str, int, int]] = []
    pairs, facts = prepare_pairs(section, "HU", tmp_path, cache, lambda *told: steps.append(told))
    assert facts.patients["test"] >= 1
    assert facts.pairs["training"] == 2 * facts.patients["training"]
    assert len(pairs) == facts.pairs["training"] + facts.pairs["validation"] < 12
    assert 20 < facts.noise_sd[0] <= facts.noise_sd[1] < 45
    assert ("reading pairs", len(pairs), len(pairs)) in steps
    steps.clear()
    again, same = prepare_pairs(section, "HU", tmp_path, cache, lambda *told: steps.append(told))
    assert not any(what == "reading pairs" for what, _, _ in steps)
    assert same == facts
    assert all(np.array_equal(a.noisy, b.noisy) for a, b in zip(pairs, again, strict=True))
    next((tmp_path / "low").rglob("*.IMA")).touch()
    prepare_pairs(section, "HU", tmp_path, tmp_path / "cache")
    assert len(list(cache.iterdir())) in {2, 4}, "anew, if the file is not of the test"


def test_no_identifier_is_in_cache_facts_or_sentence(tmp_path: Path) -> None:
    _write(tmp_path)
    _, facts = prepare_pairs(_section(patient="dicom"), "HU", tmp_path, tmp_path / "cache")
    facts.write(tmp_path / "run")
    kept = b"".join(path.read_bytes() for path in (tmp_path / "cache").iterdir())
    kept += (tmp_path / "run" / "pairs.json").read_bytes() + sentence(facts.numbers()).encode()
    assert b"SECRET" not in kept
    assert b"Ada" not in kept
    assert Facts.read(tmp_path / "run") == facts


def test_a_damaged_cache_says_what_to_delete(tmp_path: Path) -> None:
    _write(tmp_path)
    cache = tmp_path / "cache"
    prepare_pairs(_section(), "HU", tmp_path, cache)
    (values,) = cache.glob("*.f32")
    values.write_bytes(values.read_bytes()[:-4])
    with pytest.raises(DataError, match=r"delete .*-pairs\.json"):
        prepare_pairs(_section(), "HU", tmp_path, cache)


def test_what_was_left_out_is_said_and_named_in_the_runs_record(tmp_path: Path) -> None:
    _write(tmp_path)
    patient = next(iter((tmp_path / "low").iterdir())).name
    write_ct(tmp_path / "low" / patient / "9.IMA", scene())
    _, facts = prepare_pairs(_section(), "HU", tmp_path, tmp_path / "cache")
    assert facts.alone == [f"low/{patient}/9.IMA"]
    assert facts.numbers()["alone"] == 1
    assert "Files without a partner, left out: 1." in sentence(facts.numbers())
    assert json.dumps(facts.numbers()).find(patient) == -1, "no paths in a manifest"
    (tmp_path / "pairs.json").write_text("{}")
    with pytest.raises(RecipeError, match="not the pairs of a run"):
        Facts.read(tmp_path)

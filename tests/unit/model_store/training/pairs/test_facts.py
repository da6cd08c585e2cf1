from __future__ import annotations

import json
from pathlib import Path

import pytest

from model_store.errors import RecipeError
from model_store.training.pairs.cache import prepare_pairs
from model_store.training.pairs.facts import Facts, sentence
from model_store.training.pairs.section import PairsData
from tests.support.factories.pairs import scene, write_ct, write_patients

_SECTION = PairsData(kind="pairs", noisy="low", partner="full", patient="folder")


def test_what_was_left_out_is_said_and_named_in_the_runs_record(tmp_path: Path) -> None:
    write_patients(tmp_path)
    patient = next(iter((tmp_path / "low").iterdir())).name
    write_ct(tmp_path / "low" / patient / "9.IMA", scene())
    _, facts = prepare_pairs(_SECTION, "HU", tmp_path, tmp_path / "cache")
    assert facts.alone == [f"low/{patient}/9.IMA"]
    assert facts.numbers()["alone"] == 1
    assert "Files without a partner, left out: 1." in sentence(facts.numbers())
    assert json.dumps(facts.numbers()).find(patient) == -1, "no paths in a manifest"
    (tmp_path / "pairs.json").write_text("{}")
    with pytest.raises(RecipeError, match="not the pairs of a run"):
        Facts.read(tmp_path)

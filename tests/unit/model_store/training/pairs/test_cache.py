from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model_store.errors import DataError
from model_store.training.pairs.cache import prepare_pairs
from model_store.training.pairs.facts import Facts, sentence
from model_store.training.pairs.section import PairsData
from tests.support.factories.pairs import write_patients


def _section(**given: Any) -> PairsData:
    base = {"kind": "pairs", "noisy": "low", "partner": "full", "patient": "folder"}
    return PairsData.model_validate(base | given)


def test_pairs_are_read_once_and_the_test_is_not_read_at_all(tmp_path: Path) -> None:
    write_patients(tmp_path)
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
    for path in (tmp_path / "low").rglob("*.IMA"):
        path.touch()
    prepare_pairs(section, "HU", tmp_path, cache, lambda *told: steps.append(told))
    assert any(what == "reading pairs" for what, _, _ in steps), "anew when files have changed"


def test_no_identifier_is_in_cache_facts_or_sentence(tmp_path: Path) -> None:
    write_patients(tmp_path)
    _, facts = prepare_pairs(_section(patient="dicom"), "HU", tmp_path, tmp_path / "cache")
    facts.write(tmp_path / "run")
    kept = b"".join(path.read_bytes() for path in (tmp_path / "cache").iterdir())
    kept += (tmp_path / "run" / "pairs.json").read_bytes() + sentence(facts.numbers()).encode()
    assert b"SECRET" not in kept
    assert b"Ada" not in kept
    assert Facts.read(tmp_path / "run") == facts


def test_a_damaged_cache_says_what_to_delete(tmp_path: Path) -> None:
    write_patients(tmp_path)
    cache = tmp_path / "cache"
    prepare_pairs(_section(), "HU", tmp_path, cache)
    (values,) = cache.glob("*.f32")
    values.write_bytes(values.read_bytes()[:-4])
    with pytest.raises(DataError, match=r"delete .*-pairs\.json"):
        prepare_pairs(_section(), "HU", tmp_path, cache)

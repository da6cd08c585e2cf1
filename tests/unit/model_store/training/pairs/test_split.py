from __future__ import annotations

from pathlib import Path

import pytest

from model_store.errors import DataError
from model_store.training.pairs.listing import Pair
from model_store.training.pairs.section import PairsData
from model_store.training.pairs.split import require, sides, split

_SECTION = PairsData(kind="pairs", noisy="a", partner="b")


def _pairs(*patients: str) -> list[Pair]:
    return [Pair(Path("a"), Path("b"), patient, patient) for patient in patients]


def test_a_side_that_is_asked_for_has_somebody() -> None:
    found = sides(["a", "b", "c"], 0.01, 0.01)
    assert sorted(found.values()) == ["test", "training", "validation"]
    assert set(sides(["a", "b", "c"], 0, 0).values()) == {"training"}
    assert set(sides(["a", "b", "c"], 0, 1).values()) == {"test"}


def test_shares_are_kept_in_the_mean() -> None:
    found = list(sides([str(number) for number in range(2000)], 0.1, 0.2).values())
    assert found.count("test") == pytest.approx(400, abs=60)
    assert found.count("validation") == pytest.approx(200, abs=50)


def test_too_few_patients_are_said_with_what_to_do() -> None:
    pairs = split(_SECTION, _pairs("a", "a", "b"))
    with pytest.raises(DataError, match=r"of 2 patients none is for training .*split_seed"):
        require(_SECTION, pairs, "training")
    with pytest.raises(DataError, match=r"of 1 patients .*if all have one Patient ID"):
        require(_SECTION, split(_SECTION, _pairs("a")), "training")

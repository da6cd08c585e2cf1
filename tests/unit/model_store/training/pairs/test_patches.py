from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from model_store.errors import DataError
from model_store.training.pairs.cache import StoredPair
from model_store.training.pairs.patches import PairPatches
from model_store.training.pairs.section import PairsData
from model_store.training.recipe import InputSection
from tests.support.factories.pairs import fraction, noisy, scene

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

"""What a worker leaves out it tries again after a while."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from model_store.ref import ModelRef
from tests.support.ledgers import Life
from workers.next_batch import LEFT_OUT_SECONDS, NextBatch


@pytest.fixture
def life(tmp_path: Path) -> Iterator[Life]:
    life = Life(tmp_path / "node")
    life.associate()
    life.receive_series(3)
    life.planner.plan()
    yield life
    life.close()


def test_a_model_that_could_not_be_run_is_tried_again_after_a_while(life: Life) -> None:
    seconds = [0.0]
    following = NextBatch(life.ledger, lambda: seconds[0])
    first = following.find()
    assert first is not None
    following.leave_out(ModelRef("toy", "1.0.0", "1" * 64))
    seconds[0] = LEFT_OUT_SECONDS - 1
    assert following.find() is None
    seconds[0] = LEFT_OUT_SECONDS
    assert following.find() == first
    following.leave_out(ModelRef("toy", "9.9.9", "9" * 64))
    assert following.find() == first

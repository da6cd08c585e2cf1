"""A worker says before an engine is built that it takes long, and gives signs as it computes."""

from __future__ import annotations

import pytest

from dicom_node.signs import LONGEST, PIECE
from tests.support.denoising import receive, states, work
from tests.support.ledgers import Life
from tests.support.signs import counted
from workers.pipeline import CHUNK, Pipeline


def test_a_batch_gives_one_for_a_few_images_and_for_what_the_engine_has_done(
    life: Life, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    receive(life, 3 * CHUNK)
    given = counted(monkeypatch)
    work(life, pipeline)
    assert set(states(life)) == {"denoised"}
    assert given.within == [LONGEST, *[PIECE, PIECE] * 3, LONGEST]

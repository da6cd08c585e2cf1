"""Upkeep gives a sign for each piece of its work: much of it is no hang."""

from __future__ import annotations

import pytest

from dicom_node.signs import PIECE
from dicom_node.spool.spool import SHARDS
from tests.support.clock import age
from tests.support.ledgers import Life, ct_header
from tests.support.signs import CountedSigns, counted


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> CountedSigns:
    return counted(monkeypatch)


def test_planning_gives_one_for_every_image(life: Life, given: CountedSigns) -> None:
    life.receive_series(3)
    life.planner.plan()
    assert given.within == [PIECE] * 3


def test_a_sweep_gives_one_for_every_file_that_it_reads(life: Life, given: CountedSigns) -> None:
    orphans = [life.spool.result_path(f"1.2.5.{number}") for number in range(3)]
    for path in orphans:
        life.spool.write_atomic(path, ct_header("1.2.5", "1.2.5.1"))
    age(*orphans)
    for shard in range(SHARDS):
        life.retention.sweep_orphans(shard)
    assert given.within == [PIECE] * 3

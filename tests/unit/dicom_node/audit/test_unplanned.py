"""A study that was answered with success is found before it is planned, too."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from dicom_node.audit.unplanned import Unplanned, unplanned_of
from dicom_node.ledger.tables import InstanceRow
from tests.support.ledgers import Life

STUDY = "1.2.3"  # of the slices that a `Life` receives


@pytest.fixture
def life(tmp_path: Path) -> Iterator[Life]:
    made = Life(tmp_path / "node")
    yield made
    made.close()


def test_what_is_not_planned_yet_is_found_by_its_study(life: Life) -> None:
    life.associate()
    life.receive_series(3)
    assert unplanned_of(life.ledger, life.spool, STUDY) == Unplanned(3, 0)
    assert unplanned_of(life.ledger, life.spool, "1.2.9") == Unplanned(0, 0)
    assert unplanned_of(life.ledger, life.spool, STUDY, most=2) == Unplanned(2, 1)
    life.planner.plan()
    assert unplanned_of(life.ledger, life.spool, STUDY) == Unplanned(0, 0)


def test_a_file_that_cannot_be_read_is_of_no_study(life: Life) -> None:
    life.associate()
    life.receive_series(2)
    first = life.rows(select(InstanceRow.path))[0]
    life.spool.path(first.path).write_bytes(b"no DICOM")
    assert unplanned_of(life.ledger, life.spool, STUDY).found == 1

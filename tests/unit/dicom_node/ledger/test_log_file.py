"""SQLite's log grows while somebody reads, who is named; afterwards it is empty again."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import text

from dicom_node.ledger.log_file import LARGE, LogFile
from tests.support.ledgers import Life
from tests.support.writers import holding


@pytest.fixture
def either_database() -> None:
    """SQLite: its log is a file."""


class Watched:
    """A ledger's log, with a clock of the test's own."""

    def __init__(self, life: Life) -> None:
        self.life = life
        self.now = 0.0
        self.path = Path(life.ledger.engine.url.database or "")
        self.log = LogFile(life.ledger.engine, self.path, lambda: self.now)

    def write(self, megabytes: int) -> None:
        for _ in range(megabytes):
            with self.life.ledger.write() as unit:
                unit.connection.execute(
                    text("INSERT INTO audit (at, event, detail) VALUES "
                         "('2026-01-01 00:00:00', 'test', hex(randomblob(524288)))")
                )  # fmt: skip


@pytest.fixture
def watched(life: Life) -> Watched:
    return Watched(life)


def test_an_idle_ledger_has_no_log(watched: Watched) -> None:
    watched.write(2)
    assert watched.log.size > 2**20
    assert watched.log.look() == ()
    assert watched.log.size > 2**20  # it was just written
    watched.log.look()
    assert watched.log.size == 0
    watched.write(1)
    assert watched.life.rows(text("SELECT count(*) FROM audit")) == [(3,)]


def test_a_reader_that_stays_is_named_and_then_the_log_is_empty_again(watched: Watched) -> None:
    watched.write(1)
    with holding(watched.path, how="BEGIN") as process:
        watched.write(LARGE // 2**20 + 2)
        assert watched.log.look() == []
        watched.now = 30.0
        watched.write(1)
        (found,) = watched.log.look()
        assert (found.holder.pid, found.seconds) == (process.pid, 30.0)
        assert watched.log.size > LARGE
    watched.log.look()
    assert watched.log.size == 0


def test_somebody_who_writes_is_not_waited_for(watched: Watched) -> None:
    watched.write(2)
    watched.log.look()
    with holding(watched.path):
        watched.log.look()
    watched.log.look()
    assert watched.log.size == 0
    (patience,) = watched.life.rows(text("PRAGMA busy_timeout"))
    assert patience[0] > 0

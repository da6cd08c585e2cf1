"""Chores of upkeep: what goes wrong in one holds up only itself."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from dicom_node.errors import LedgerError, StorageError
from dicom_node.upkeep.chores import Chore


class Time:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Work:
    """Raises what it is told to, and counts."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.more = False
        self.done = 0

    def __call__(self) -> bool:
        self.done += 1
        if self.error is not None:
            raise self.error
        return self.more


@pytest.fixture
def time() -> Time:
    return Time()


def test_it_is_done_every_so_often_and_at_once_while_there_is_more(time: Time) -> None:
    work = Work()
    chore = Chore("plan", work, 10.0, time)
    work.more = True
    chore.do()
    chore.do()
    assert (work.done, chore.wait) == (2, 0.0)
    work.more = False
    chore.do()
    chore.do()
    assert (work.done, chore.wait) == (3, 10.0)
    time.now += 10
    chore.do()
    assert work.done == 4


def test_a_fault_is_logged_without_its_text_and_waits_ever_longer(time: Time) -> None:
    work = Work()
    work.error = TypeError("PHI MARKER")
    chore = Chore("forget", work, 600.0, time)
    pauses = []
    with capture_logs() as lines:
        for _ in range(10):
            chore.do()
            pauses.append(chore.wait)
            time.now += chore.wait
    assert pauses[:4] == [2.0, 4.0, 8.0, 16.0]
    assert pauses[-1] == 300.0
    assert {(line["event"], line["chore"]) for line in lines} == {("upkeep.fault", "forget")}
    work.error = None
    chore.do()
    assert chore.wait == 600.0
    work.error = TypeError("again")
    time.now += 600
    chore.do()
    assert chore.wait == 2.0


def test_what_is_away_is_waited_for(time: Time) -> None:
    work = Work()
    work.error = StorageError("a folder of the spool cannot be read: Input/output error")
    chore = Chore("forget", work, 600.0, time)
    with capture_logs() as lines:
        chore.do()
    assert [line["event"] for line in lines] == ["upkeep.waiting"]
    assert chore.wait == 2.0


def test_a_ledger_that_is_away_is_away_for_all(time: Time) -> None:
    work = Work()
    work.error = LedgerError("no answer")
    chore = Chore("plan", work, 1.0, time)
    with pytest.raises(LedgerError):
        chore.do()
    assert chore.wait == 2.0

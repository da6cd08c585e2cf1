"""What a process leaves in the ledger of its signs of life."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from structlog.testing import capture_logs

from dicom_node.errors import OtherMigration
from dicom_node.heartbeat import Heartbeat, open_ledger
from dicom_node.ledger import processes
from dicom_node.ledger.processes import Role, Sighting
from dicom_node.settings import Settings
from dicom_node.signs import Sign
from tests.support.ledgers import Life
from tests.support.waiting import eventually
from tests.support.writers import holding


@pytest.fixture
def life(tmp_path: Path) -> Iterator[Life]:
    life = Life(tmp_path / "node")
    yield life
    life.close()


def seen(life: Life) -> list[Sighting]:
    with life.ledger.read() as session:
        return processes.seen(session)


def test_a_process_is_there_while_it_runs_and_takes_its_row_with_it(life: Life) -> None:
    with Heartbeat(life.ledger, Role.UPKEEP, "here"):
        eventually(lambda: seen(life))
        (found,) = seen(life)
        assert (found.process.role, found.process.place, found.silent) == ("upkeep", "here", False)
    assert seen(life) == []


def test_the_thread_writes_what_the_loop_did_and_not_that_the_thread_runs(life: Life) -> None:
    last = Sign(600.0, 180.0)
    with Heartbeat(life.ledger, Role.INTAKE, "here", lambda: last, every=0.05):
        eventually(lambda: seen(life))
        assert seen(life)[0].silent
        last = Sign(1.0, 180.0)
        eventually(lambda: not seen(life)[0].silent)


def test_a_ledger_that_was_locked_hears_of_it_later(tmp_path: Path) -> None:
    tree = Settings(storage={"path": tmp_path})
    life = Life(tmp_path)
    with holding(tmp_path / "ledger.sqlite"), capture_logs() as lines:
        heart = Heartbeat(open_ledger(tree), Role.UPKEEP, "here", every=0.05)
        heart.begin()
        eventually(lambda: lines)
    eventually(lambda: seen(life))
    heart.end()
    assert seen(life) == []
    life.close()


def test_a_process_without_threads_writes_when_it_is_time_to_and_not_at_every_look(
    life: Life,
) -> None:
    asked: list[Sign] = []

    def last() -> Sign:
        asked.append(Sign(1.0, 180.0))
        return asked[-1]

    heart = Heartbeat(life.ledger, Role.UP, "here", last)
    heart.look()
    heart.look()
    assert len(asked) == 1
    assert [each.process.role for each in seen(life)] == ["up"]
    often = Heartbeat(life.ledger, Role.UP, "here", last, every=0.0)
    often.look()
    often.look()
    assert len(asked) == 3
    heart.end()
    assert seen(life) == []


class OfAnotherRelease:
    """A ledger that was migrated; counts who asks it."""

    def __init__(self) -> None:
        self.asked = 0

    def write(self) -> NoReturn:
        self.asked += 1
        raise OtherMigration("the ledger is at migration 9999")


def test_a_ledger_of_another_release_is_left_alone_for_good() -> None:
    ledger = OfAnotherRelease()
    heart = Heartbeat(ledger, Role.UPKEEP, "here", every=0.0)  # type: ignore[arg-type]
    heart.begin()
    eventually(lambda: all(each.name != "heartbeat" for each in threading.enumerate()))
    assert ledger.asked == 1
    heart.end()

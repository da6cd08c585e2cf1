"""One writer at a time: what waits behind it, what is late, and what nobody waits for any more."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from dicom_node.errors import LedgerError
from dicom_node.intake import intake
from dicom_node.ledger.bounds import INTAKE
from dicom_node.ledger.tables import AssociationRow, InstanceRow
from dicom_node.ledger.unit_of_work import UnitOfWork
from dicom_node.network.accept.ports import SUCCESS
from tests.support.factories.received import CALLER
from tests.support.intakes import IntakeNode


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[IntakeNode]:
    """An intake that writes what is late at once, and not once a second."""
    monkeypatch.setattr(intake, "_LATE_SECONDS", 0.05)
    node = IntakeNode(tmp_path)
    node.intake.opened(CALLER)
    node.settle()
    yield node
    node.ledger.away = False
    node.intake.stop()


def until(true: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 30
    while not true() and time.monotonic() < deadline:
        time.sleep(0.01)
    return true()


def outcomes(node: IntakeNode) -> list[str | None]:
    return [row.outcome for row in node.rows(select(AssociationRow.outcome))]


def end_while_away(node: IntakeNode) -> None:
    """The end of an association, which the ledger did not take."""
    node.ledger.away = True
    before = node.ledger.writes
    node.intake.closed(CALLER, "released")
    assert until(lambda: node.ledger.writes > before)


class Slow:
    """Makes transactions of the ledger last, and counts how many there are at once."""

    def __init__(self, node: IntakeNode, monkeypatch: pytest.MonkeyPatch) -> None:
        self._write = node.ledger.write
        self.begun = threading.Event()
        self.go_on = threading.Event()
        self.most = self._now = 0
        monkeypatch.setattr(node.ledger, "write", self.write)

    @contextmanager
    def write(self) -> Iterator[UnitOfWork]:
        self._now += 1
        self.most = max(self.most, self._now)
        self.begun.set()
        self.go_on.wait(30)
        try:
            with self._write() as unit:
                yield unit
        finally:
            self._now -= 1


class Sender(threading.Thread):
    """A thread that stores one object and keeps the answer."""

    def __init__(self, node: IntakeNode, uid: str) -> None:
        super().__init__()
        self._node, self._uid = node, uid
        self.answer: Any = None
        self.start()

    def run(self) -> None:
        try:
            self.answer = self._node.store(self._uid)
        except LedgerError as error:
            self.answer = error


def test_what_is_late_is_written_though_nobody_sends_anything(node: IntakeNode) -> None:
    end_while_away(node)
    node.ledger.away = False
    assert until(lambda: outcomes(node) == ["released"])
    assert node.store("1.2.3") == SUCCESS


def test_a_node_at_rest_writes_nothing(node: IntakeNode) -> None:
    before = node.ledger.writes
    time.sleep(0.5)
    assert node.ledger.writes == before


def test_nobody_writes_while_another_does_whatever_is_late(
    node: IntakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(intake, "_LATE_SECONDS", 0.5)
        end_while_away(node)
        slow = Slow(node, monkeypatch)
        node.ledger.away = False
        sender = Sender(node, "1.2.3")
        assert slow.begun.wait(30)
        time.sleep(1.0)
        slow.go_on.set()
        sender.join()
    assert sender.answer == SUCCESS
    assert until(lambda: outcomes(node) == ["released"])
    assert slow.most == 1


def test_nobody_writes_while_an_association_is_noted(
    node: IntakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the thread that writes what nobody waits for."""
    slow = Slow(node, monkeypatch)
    node.intake.closed(CALLER, "released")
    assert slow.begun.wait(30)
    sender = Sender(node, "1.2.3")
    assert until(lambda: bool(node.intake._commit._waiting) or slow.most > 1)
    slow.go_on.set()
    sender.join()
    assert sender.answer == SUCCESS
    assert slow.most == 1


def test_who_waits_too_long_behind_another_is_refused_and_leaves_nothing(
    node: IntakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Slow(node, monkeypatch)
    first = Sender(node, "1.2.1")
    assert slow.begun.wait(30)
    with monkeypatch.context() as patch:
        patch.setattr(intake, "_LONGEST_BEHIND", 0.3)
        second = Sender(node, "1.2.2")
        second.join()
    assert "takes too long" in str(second.answer)
    slow.go_on.set()
    first.join()
    assert first.answer == SUCCESS, "who is being written is waited for"
    assert node.store("1.2.3") == SUCCESS
    stored = node.rows(select(InstanceRow.sop_instance_uid, InstanceRow.path))
    assert {uid for uid, _ in stored} == {"9.9.9", "1.2.1", "1.2.3"}  # the first settled it
    assert {node.spool.path(path) for _, path in stored} == set(node.files())


def test_a_scanner_has_its_answer_within_ten_seconds_however_the_ledger_hangs() -> None:
    """It waits behind another, for its own transaction, and to be let in to ask about that."""
    assert INTAKE.transaction is not None
    assert intake._LONGEST_BEHIND + INTAKE.transaction + INTAKE.connect < 10

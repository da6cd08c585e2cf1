"""0x0000 means: on disk and in the ledger; anything else leaves nothing behind."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text, update
from sqlalchemy.exc import OperationalError
from structlog.testing import capture_logs

from dicom_node.errors import CommitInDoubt, LedgerError, OutOfSpace, StorageError
from dicom_node.ledger.audit_events import AuditEvent
from dicom_node.ledger.tables import AssociationRow, AuditRow, InstanceRow
from dicom_node.network.accept.ports import DUPLICATE, SUCCESS, Caller
from tests.support.factories.received import CALLER, data_set_of
from tests.support.intakes import IntakeNode


@pytest.fixture
def node(tmp_path: Path) -> Iterator[IntakeNode]:
    node = IntakeNode(tmp_path)
    node.intake.opened(CALLER)
    yield node
    node.ledger.away = False
    node.ledger.fault = None
    node.intake.stop()


def test_success_means_file_and_row(node: IntakeNode) -> None:
    assert node.store("1.2.3") == SUCCESS
    (row,) = node.instances()
    assert data_set_of(node.named().read_bytes()) == b"data"
    assert (row.state, row.size) == ("received", 4)
    assert node.events() == [AuditEvent.ASSOCIATION_OPENED, AuditEvent.INSTANCE_STORED]


def test_a_resend_changes_nothing_and_is_success(node: IntakeNode) -> None:
    assert node.store("1.2.3") == node.store("1.2.3") == SUCCESS
    assert len(node.instances()) == len(node.files()) == 1
    assert node.events()[-1] == AuditEvent.INSTANCE_RESENT


def test_other_bytes_under_a_known_uid_are_kept_aside(node: IntakeNode) -> None:
    assert node.store("1.2.3", b"one") == SUCCESS
    with capture_logs() as lines:
        assert node.store("1.2.3", b"two") == SUCCESS
    assert [(line["event"], line["answer"]) for line in lines] == [
        ("instance.conflict", "quarantined")
    ]
    assert [row.state for row in node.instances()] == ["received", "conflict"]
    assert node.data() == [b"one", b"two"]
    assert node.events()[-1] == AuditEvent.INSTANCE_CONFLICT


def test_or_refused_where_that_is_configured(tmp_path: Path) -> None:
    node = IntakeNode(tmp_path, refuse_conflicts=True)
    node.intake.opened(CALLER)
    assert node.store("1.2.3", b"one") == SUCCESS == 0x0000
    assert node.store("1.2.3", b"two") == DUPLICATE == 0x0111
    assert node.store("1.2.3", b"one") == SUCCESS
    assert node.data() == [b"one"]
    assert AuditEvent.INSTANCE_CONFLICT in node.events()
    node.intake.stop()


def test_a_ledger_that_is_away_means_failure_and_no_file(node: IntakeNode) -> None:
    node.settle()
    before = node.files()
    node.ledger.away = True
    with pytest.raises(LedgerError):
        node.store("1.2.3")
    assert node.files() == before
    node.ledger.away = False
    assert node.store("1.2.3") == SUCCESS


def test_a_failed_resend_leaves_what_was_accepted(node: IntakeNode) -> None:
    assert node.store("1.2.3") == SUCCESS
    node.ledger.away = True
    with pytest.raises(LedgerError):
        node.store("1.2.3")
    assert node.data() == [b"data"]
    assert node.files() == [node.named()]


def forgotten(node: IntakeNode) -> None:
    node.named().unlink()
    with node.ledger.write() as unit:
        unit.session.execute(update(InstanceRow).values(path=None))


def gone(node: IntakeNode) -> None:
    node.named().unlink()


def changed(node: IntakeNode) -> None:
    """One bit of the data set."""
    path = node.named()
    path.write_bytes(path.read_bytes()[:-1] + b"b")


def another(node: IntakeNode) -> None:
    """The same data set under another UID's File Meta Information."""
    path = node.named()
    path.write_bytes(path.read_bytes().replace(b"1.2.3\0", b"1.2.4\0"))


@pytest.mark.parametrize("what", [forgotten, gone])
def test_a_resend_of_what_is_not_there_any_more_is_kept(
    node: IntakeNode, what: Callable[[IntakeNode], None]
) -> None:
    assert node.store("1.2.3") == SUCCESS
    what(node)
    assert node.store("1.2.3") == SUCCESS
    assert node.files() == [node.named()]
    assert node.data() == [b"data"]


@pytest.mark.parametrize("what", [changed, another])
def test_a_resend_of_what_came_wrong_repairs_it_and_leaves_it_for_a_person(
    node: IntakeNode, what: Callable[[IntakeNode], None]
) -> None:
    assert node.store("1.2.3") == SUCCESS
    wrong = node.named()
    what(node)
    kept = wrong.read_bytes()
    assert node.store("1.2.3") == SUCCESS
    assert node.named() != wrong
    assert data_set_of(node.named().read_bytes()) == b"data"
    assert wrong.read_bytes() == kept


def test_a_resend_leaves_its_row_the_file_that_it_has(node: IntakeNode) -> None:
    assert node.store("1.2.3") == SUCCESS
    first = node.named()
    os.utime(first, (1, 1))
    assert node.store("1.2.3") == SUCCESS
    assert node.named() == first
    assert first.stat().st_mtime > time.time() - 60  # retention takes it for new


def test_a_commit_that_failed_and_was_made_keeps_its_file(node: IntakeNode) -> None:
    node.settle()
    node.ledger.fault_at_commit = True
    with pytest.raises(LedgerError):
        node.store("1.2.3")
    assert {node.spool.path(str(row.path)) for row in node.instances()} == set(node.files())
    assert len(node.files()) == 2


@pytest.mark.parametrize(
    "fault",
    [OperationalError("", {}, Exception("no answer")), CommitInDoubt("it went away")],
    ids=["certain", "in doubt"],
)
def test_a_commit_that_failed_and_was_not_made_leaves_no_file(
    node: IntakeNode, fault: Exception
) -> None:
    node.settle()
    before = node.files()
    node.ledger.fault = fault
    with pytest.raises(LedgerError):
        node.store("1.2.3")
    assert node.files() == before


def test_what_nobody_can_be_asked_about_stays(
    node: IntakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be named; retention asks again."""
    node.settle()

    @contextmanager
    def read() -> Iterator[Any]:
        raise LedgerError("away")
        yield

    node.ledger.fault_at_commit = True
    with monkeypatch.context() as patch:
        patch.setattr(node.ledger, "read", read)
        with pytest.raises(LedgerError):
            node.store("1.2.3")
    assert {node.spool.path(str(row.path)) for row in node.instances()} == set(node.files())


def test_of_two_that_send_the_same_at_once_the_failure_of_one_leaves_the_others_file(
    node: IntakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first is in its place but not in the ledger when the second comes and is accepted."""
    first = node.received("1.2.3")
    committed = node.spool.commit
    second_is_in = threading.Event()

    def commit(temp: Path, final: Path) -> None:
        committed(temp, final)
        if temp == first.path:
            monkeypatch.setattr(node.spool, "commit", committed)
            assert node.store("1.2.3") == SUCCESS
            second_is_in.set()
            node.ledger.away = True

    monkeypatch.setattr(node.spool, "commit", commit)
    with pytest.raises(LedgerError):
        node.intake.store(first)
    assert second_is_in.is_set()
    assert node.data() == [b"data"]
    assert node.files() == [node.named()]


def test_a_disk_that_fails_means_failure_and_no_row(
    node: IntakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    def commit(*_: Any, **__: Any) -> None:
        raise OutOfSpace("1.2.3: cannot be put in its place in the spool: no space left")

    monkeypatch.setattr(node.spool, "commit", commit)
    with pytest.raises(StorageError):
        node.store("1.2.3")
    assert node.instances() == []


def test_an_association_opened_while_the_ledger_was_away_can_store_once_it_is_back(
    node: IntakeNode,
) -> None:
    other = Caller("b" * 32, "CT2", "DENOISE", "10.1.2.4")
    node.settle()
    node.ledger.away = True
    node.intake.opened(other)
    with pytest.raises(LedgerError):
        node.store("1.2.3", caller=other)
    node.ledger.away = False
    assert node.store("1.2.3", caller=other) == SUCCESS
    assert [row.association_id for row in node.instances()][-1] == other.association_id


def test_the_end_of_an_association_is_recorded_once_the_ledger_is_back(node: IntakeNode) -> None:
    node.settle()
    node.ledger.away = True
    node.intake.closed(CALLER, "released")
    other = Caller("b" * 32, "CT2", "DENOISE", "10.1.2.4")
    with suppress(LedgerError):
        node.store("1.2.4", caller=other)
    node.ledger.away = False
    node.intake.opened(other)
    assert node.store("1.2.5", caller=other) == SUCCESS
    (closed,) = node.rows(
        select(AssociationRow.outcome).where(AssociationRow.id == CALLER.association_id)
    )
    assert closed.outcome == "released"


@pytest.mark.parametrize("fault", [ValueError("odd"), ZeroDivisionError()])
def test_a_fault_that_nobody_thought_of_is_a_failure_and_does_not_end_reception(
    node: IntakeNode, fault: Exception
) -> None:
    node.settle()
    node.ledger.fault = fault
    with pytest.raises(LedgerError):
        node.store("1.2.3")
    node.ledger.fault = None
    assert node.store("1.2.3") == SUCCESS


def test_one_entry_that_the_database_cannot_take_fails_alone(node: IntakeNode) -> None:
    node.settle()
    unknown = Caller("f" * 32, "CT9", "DENOISE", "10.1.2.9")
    answers: dict[str, Any] = {}
    begin = threading.Barrier(9)

    def store(index: int) -> None:
        begin.wait()
        try:
            answers[str(index)] = node.store(
                f"1.2.{index}", caller=unknown if index == 4 else CALLER
            )
        except LedgerError as error:
            answers[str(index)] = error

    threads = [threading.Thread(target=store, args=(i,)) for i in range(9)]
    with node.ledger.engine.connect() as connection:
        connection.exec_driver_sql("SELECT 1")  # holds the write lock: all go into one group
        for thread in threads:
            thread.start()
        threading.Event().wait(0.5)
    for thread in threads:
        thread.join()
    assert isinstance(answers.pop("4"), LedgerError)
    assert set(answers.values()) == {SUCCESS}


def test_many_threads_share_commits_and_lose_nothing(node: IntakeNode) -> None:
    callers = [Caller(f"{i:032x}", f"CT{i}", "DENOISE", "10.1.2.3") for i in range(8)]
    count = 25

    def send(caller: Caller) -> None:
        node.intake.opened(caller)
        for number in range(count):
            assert node.store(f"1.{int(caller.association_id, 16)}.{number}", caller=caller) == 0
        node.intake.closed(caller, "released")

    threads = [threading.Thread(target=send, args=(caller,)) for caller in callers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(node.instances()) == len(node.files()) == len(callers) * count
    node.intake.stop()
    open_still = node.rows(select(AssociationRow.id).where(AssociationRow.closed_at.is_(None)))
    assert [row.id for row in open_still] == [CALLER.association_id]
    assert node.ledger.writes < len(callers) * (count + 2)
    node.restart()


def test_the_same_instance_from_many_associations_is_one(node: IntakeNode) -> None:
    threads = [threading.Thread(target=node.store, args=("1.2.3",)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(node.instances()) == len(node.files()) == 1


def test_after_the_end_of_reception_a_store_is_refused_and_does_not_hang(node: IntakeNode) -> None:
    node.intake.stop()
    with pytest.raises(LedgerError):
        node.store("1.2.3")
    assert node.files() == []
    node.restart()


def test_a_killed_intake_leaves_no_association_open(node: IntakeNode) -> None:
    node.settle()
    node.intake.stop()
    node.restart()
    (row,) = node.rows(select(AssociationRow.outcome, AssociationRow.closed_at))
    assert row.outcome == "killed"
    event, detail, association = node.rows(
        select(AuditRow.event, AuditRow.detail, AuditRow.association_id).order_by(AuditRow.id)
    )[-1]
    assert event == AuditEvent.ASSOCIATION_CLOSED
    assert (detail, association) == ({"outcome": "killed"}, CALLER.association_id)


@pytest.mark.parametrize(
    ("options", "enough"),
    [
        ({}, True),
        ({"minimum_free_fraction": 1.0}, False),
        ({"minimum_free_bytes": 2**60}, False),
    ],
)
def test_the_watermark_of_the_disk(tmp_path: Path, options: dict[str, Any], enough: bool) -> None:
    node = IntakeNode(tmp_path, **options)
    assert node.intake.has_space(0) is enough
    node.intake.stop()


def test_an_object_larger_than_the_disk_is_not_taken_but_others_are(node: IntakeNode) -> None:
    assert not node.intake.has_space(2**60)
    assert node.intake.has_space(0)


@pytest.mark.parametrize("fault", [OutOfSpace("full"), StorageError("input/output error")])
def test_a_disk_that_does_not_answer_has_no_space(
    node: IntakeNode, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    def free_bytes() -> int:
        raise fault

    monkeypatch.setattr(node.spool, "free_bytes", free_bytes)
    assert not node.intake.has_space(0)


def test_the_ledger_holds_uids_and_ae_titles_only(node: IntakeNode) -> None:
    node.store("1.2.3", b"PHI^MARKER")
    with node.ledger.read() as session:
        dump = "\n".join(
            str(row)
            for table in ("association", "instance", "audit")
            for row in session.execute(text(f"SELECT * FROM {table}"))
        )
    assert "MARKER" not in dump

"""0x0000 means durable: every call that makes it so is made, and in the one right order."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import event, select, text

from dicom_node.bell.outbox import SilentBell
from dicom_node.intake.intake import LedgerIntake
from dicom_node.ledger.engine import make_engine
from dicom_node.ledger.tables import InstanceRow, ResultRow
from dicom_node.ledger.unit_of_work import Ledger
from dicom_node.network.accept.inline import MessageAssembler
from dicom_node.network.accept.receiver import StoreReceiver
from dicom_node.spool.spool import Spool
from tests.support.denoising import FakeDenoisers, pipeline_of
from tests.support.factories import ct_slice, to_bytes
from tests.support.factories.disk import Recorder
from tests.support.factories.received import CALLER
from tests.support.ledgers import TWO_ROUTES, Life, fresh_url
from tests.support.wire import EXPLICIT, elements, pdv, store_request

pytestmark = pytest.mark.holds(number=1)

BEFORE_THE_LEDGER = [
    ("write", "incoming"),
    ("sync fdatasync", "incoming"),
]


def in_its_place(folder: str) -> list[tuple[str, str]]:
    return [("rename", folder), ("sync folder", folder)]


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool")


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """On an engine as it is in production."""
    engine = make_engine(fresh_url(tmp_path / "ledger"))
    yield Ledger(engine, SilentBell())
    engine.dispose()


@pytest.mark.parametrize("size", [1000, 200_000], ids=["in one buffer", "in several"])
def test_an_object_is_durable_before_it_is_answered(
    spool: Spool, ledger: Ledger, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    intake = LedgerIntake(
        ledger, spool, name="here:1", refuse_conflicts=False,
        minimum_free_fraction=0.0, minimum_free_bytes=0,
    )  # fmt: skip
    known: list[int] = []

    def answer(pdu: bytes) -> None:
        disk.note("answer")
        assert int.from_bytes(elements(pdu[12:])[0x0900], "little") == 0
        with ledger.read() as session:
            known.extend(session.execute(select(InstanceRow.id)).scalars())

    assembler = MessageAssembler(
        receiver=StoreReceiver(spool, intake, CALLER, 0),
        transfer_syntaxes={1: EXPLICIT},
        send=answer,
        hand_over=lambda *_: False,
        peer_max_length=0,
    )

    def send(instance: str) -> None:
        assembler.take(memoryview(pdv(store_request(instance=instance), command=True, last=True)))
        assembler.take(memoryview(pdv(b"d" * size, command=False, last=True)))

    disk = Recorder(monkeypatch, spool.root)
    intake.opened(CALLER)
    send("1.2.1")  # the association is written with it
    event.listen(ledger.engine, "commit", lambda _: disk.note("commit"))
    disk.events.clear()
    send("1.2.2")
    intake.stop()
    assert disk.order == [
        *BEFORE_THE_LEDGER, *in_its_place("instances"), ("commit", ""), ("answer", ""),
    ]  # fmt: skip
    assert len(known) == 1 + 2


def test_a_result_is_durable_before_the_ledger_has_it(
    tmp_path: Path, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = TWO_ROUTES | {"routes": TWO_ROUTES["routes"][:1]}
    life = Life(tmp_path / "node", shared=spool, tree=tree)
    life.associate()
    image = ct_slice(size=(8, 8), StudyInstanceUID="1.2.3", SeriesInstanceUID="1.2.4",
                     SOPInstanceUID="1.2.4.1")  # fmt: skip
    life.receive("1.2.4.1", data=to_bytes(image))
    life.planner.plan()
    life.clock.advance(10)
    life.planner.close_batches()
    (batch,) = life.due_batches()
    pipeline = pipeline_of(life, FakeDenoisers())
    disk = Recorder(monkeypatch, spool.root)

    @event.listens_for(life.ledger.engine, "commit")
    def committed(connection: object) -> None:
        rows = connection.execute(select(ResultRow.id)).all()  # type: ignore[attr-defined]
        disk.note("commit with the result" if rows else "commit")

    pipeline.run(batch)
    order = [each for each in disk.order if each != ("commit", "")]
    assert order == [
        *BEFORE_THE_LEDGER, *in_its_place("results"), ("commit with the result", ""),
    ]  # fmt: skip
    life.close()


def test_a_commit_of_the_real_engine_is_on_the_disk_when_it_returns(ledger: Ledger) -> None:
    """SQLite: 2 is FULL; with WAL, only that syncs the log at each commit."""
    with ledger.write() as unit, ledger.read() as session:
        for ask in (unit.session.execute, session.execute):
            assert ask(text("PRAGMA synchronous")).scalar_one() == 2
            assert ask(text("PRAGMA journal_mode")).scalar_one() == "wal"


def test_a_commit_is_on_the_disk_also_where_sqlite_was_built_to_be_faster(tmp_path: Path) -> None:
    """Some builds sync less by themselves; what the node asks for counts."""
    engine = make_engine(fresh_url(tmp_path / "ledger"))

    @event.listens_for(engine, "connect", insert=True)
    def _built(connection: sqlite3.Connection, _entry: object) -> None:
        connection.execute("PRAGMA synchronous = NORMAL")

    with engine.connect() as connection:
        assert connection.execute(text("PRAGMA synchronous")).scalar_one() == 2
    engine.dispose()


def test_a_spool_is_durable_before_it_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "spool"
    disk = Recorder(monkeypatch, root)
    Spool(root)
    assert set(disk.order) >= {
        ("sync folder", "."), ("sync folder", "instances"), ("sync folder", "results"),
    }  # fmt: skip
    assert any(what == "sync fsync" and place.startswith("spool.marker")
               for what, place in disk.order)  # fmt: skip


def test_what_is_missing_in_a_spool_is_durable_once_it_was_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "spool"
    Spool(root)
    shutil.rmtree(root / "results")
    disk = Recorder(monkeypatch, root)
    Spool(root)
    assert disk.order[-2:] == [("sync folder", "results"), ("sync folder", ".")]

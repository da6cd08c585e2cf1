"""A PostgreSQL that hangs, refuses, is locked or restarts: everybody is answered, and goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace

import psutil
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

from dicom_node.bell.outbox import SilentBell
from dicom_node.errors import CommitInDoubt, LedgerError
from dicom_node.ledger import bounds, migrate
from dicom_node.ledger.bounds import Bounds
from dicom_node.ledger.engine import make_engine
from dicom_node.ledger.unit_of_work import Ledger
from tests.support.factories import ct_slice
from tests.support.node import RunningNode
from tests.support.postgres import Postgres
from tests.support.scanner import send

pytestmark = pytest.mark.postgresql

SHORT = Bounds(connect=2, lock=0.5, statement=1.0, transaction=1.0)
UPDATE = text("UPDATE batch SET count = count")
SUCCESS = 0x0000
OUT_OF_RESOURCES = 0xA700


@contextmanager
def stopped(server: Postgres) -> Iterator[None]:
    """The server as a machine that hangs: connections are there, nobody answers."""
    assert server.process is not None
    parent = psutil.Process(server.process.pid)
    processes = [parent, *parent.children(recursive=True)]
    try:
        for process in processes:
            with suppress(psutil.NoSuchProcess):  # a worker that was done meanwhile
                process.suspend()
        yield
    finally:
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.resume()


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with Postgres() as server:
        migrate.upgrade(make_engine(server.url, bounds.MIGRATION))
        yield server


@pytest.fixture
def ledger(server: Postgres) -> Iterator[Ledger]:
    ledger = Ledger(make_engine(server.url, SHORT), SilentBell(), bounds=SHORT)
    write(ledger)  # a connection is there
    yield ledger
    ledger.engine.dispose()


def write(ledger: Ledger) -> None:
    with ledger.write() as unit:
        unit.connection.execute(UPDATE)


def read(ledger: Ledger) -> None:
    with ledger.read() as session:
        session.execute(text("SELECT count(*) FROM batch"))


@pytest.mark.parametrize("step", [write, read])
def test_a_server_that_hangs_is_not_waited_for(
    server: Postgres, ledger: Ledger, step: Callable[[Ledger], None]
) -> None:
    with stopped(server):
        with pytest.raises(LedgerError, match=r"\[database\] url: .* has not answered for 1 s"):
            step(ledger)
        with pytest.raises(LedgerError, match=r"\[database\] url"):  # now also not connected
            step(ledger)
    step(ledger)


def test_a_server_that_hangs_within_a_transaction_is_not_waited_for(
    server: Postgres, ledger: Ledger
) -> None:
    def hang() -> None:
        with ledger.write() as unit:
            during.enter_context(stopped(server))
            unit.connection.execute(UPDATE)

    with ExitStack() as during, pytest.raises(LedgerError, match="has not answered"):
        hang()
    write(ledger)


def test_a_server_that_hangs_at_the_commit_leaves_it_in_doubt(
    server: Postgres, ledger: Ledger
) -> None:
    def hang() -> None:
        with ledger.write() as unit:
            unit.connection.execute(UPDATE)
            during.enter_context(stopped(server))

    with ExitStack() as during, pytest.raises(CommitInDoubt):
        hang()
    write(ledger)


def test_a_lock_is_not_waited_for(server: Postgres, ledger: Ledger) -> None:
    other = create_engine(server.url)
    with other.begin() as connection:
        connection.execute(text("LOCK TABLE batch IN ACCESS EXCLUSIVE MODE"))
        for step in (write, read):
            with pytest.raises(LedgerError, match="lock timeout"):
                step(ledger)
    write(ledger)
    other.dispose()


def test_a_statement_has_a_bound(ledger: Ledger) -> None:
    with pytest.raises(LedgerError), ledger.read() as session:
        session.execute(text("SELECT pg_sleep(3600)"))


def test_a_process_that_is_stopped_in_a_transaction_loses_it(server: Postgres) -> None:
    """Else what it has locked would be locked until somebody finds it."""
    engine = make_engine(server.url, replace(SHORT, transaction=0.2))
    with engine.connect() as connection:
        connection.execute(text("LOCK TABLE batch IN ACCESS EXCLUSIVE MODE"))
        other = create_engine(server.url)
        with other.begin() as waiting:
            waiting.execute(UPDATE)  # would wait for ever
        other.dispose()
        connection.invalidate()
    engine.dispose()


def test_a_server_without_room_is_an_error_and_no_more(server: Postgres) -> None:
    with ExitStack() as full:
        other = create_engine(server.url, pool_size=200)
        with suppress(OperationalError):
            while True:
                full.enter_context(other.connect())
        ledger = Ledger(make_engine(server.url, SHORT), SilentBell(), bounds=SHORT)
        with pytest.raises(LedgerError, match=r"\[database\] url: .*connection"):
            write(ledger)
        full.close()
        other.dispose()
        write(ledger)
        ledger.engine.dispose()


def test_a_server_that_restarts_is_used_again_at_once(ledger: Ledger, server: Postgres) -> None:
    """What was connected is found to be gone before anything is done with it."""
    with ThreadPoolExecutor(4) as pool:  # several connections are kept
        barrier = threading.Barrier(4)

        def together(_: int) -> None:
            with ledger.read():
                barrier.wait()

        list(pool.map(together, range(4)))
    server.stop()
    server.start()
    for _ in range(5):
        write(ledger)


def test_the_time_is_the_server_s(server: Postgres, ledger: Ledger) -> None:
    with ledger.write() as unit:
        told = unit.connection.execute(text("SELECT now(), clock_timestamp()")).one()
    assert told[0] <= unit.at <= told[1]
    assert unit.at.utcoffset() is not None
    with ledger.read() as session:
        assert session.at >= unit.at


def test_intake_s_bounds_are_below_what_a_scanner_waits() -> None:
    limits = bounds.INTAKE
    assert limits.transaction is not None
    assert limits.lock < limits.transaction
    assert 3.0 + limits.transaction + limits.connect < 10


def test_a_scanner_is_answered_by_a_node_whose_server_hangs(
    server: Postgres, running_node: RunningNode
) -> None:
    url = server.create_database("hangs")
    running_node.configure({}, routes=[], extra=f'[database]\nurl = "{url}"\n')
    running_node.start()
    sent = 0

    def send_one() -> int | None:
        nonlocal sent
        sent += 1
        image = ct_slice(size=(4, 4), SOPInstanceUID=f"1.2.3.{sent}")
        return send([image], running_node.port, running_node.folder / "image.dcm")[0]

    assert send_one() == SUCCESS
    with stopped(server):
        assert send_one() == OUT_OF_RESOURCES
        assert send_one() == OUT_OF_RESOURCES
    assert send_one() == SUCCESS
    other = create_engine(url)
    with other.begin() as connection:
        connection.execute(text("LOCK TABLE instance IN ACCESS EXCLUSIVE MODE"))
        assert send_one() == OUT_OF_RESOURCES
    other.dispose()
    assert send_one() == SUCCESS
    server.stop()
    assert send_one() == OUT_OF_RESOURCES
    server.start()
    assert send_one() == SUCCESS
    running_node.wait(lambda states: states["passed"] >= 4)
    assert running_node.stop() == 0

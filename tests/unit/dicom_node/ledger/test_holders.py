"""Who holds a ledger in SQLite is named, and found out without dropping anybody's locks."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text

from dicom_node.bell.outbox import SilentBell
from dicom_node.errors import LedgerError
from dicom_node.ledger import holders
from dicom_node.ledger.bounds import COMMAND
from dicom_node.ledger.engine import make_engine
from dicom_node.ledger.holders import Holder
from dicom_node.ledger.stuck import StuckWriter
from dicom_node.ledger.unit_of_work import Ledger
from tests.support.ledgers import fresh_url
from tests.support.writers import holding

SHORT = replace(COMMAND, lock=0.2)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return Path(fresh_url(tmp_path).removeprefix("sqlite:///"))


@pytest.fixture
def ledger(path: Path) -> Iterator[Ledger]:
    ledger = Ledger(make_engine(f"sqlite:///{path}", SHORT), SilentBell(), bounds=SHORT)
    ledger.require_still()
    yield ledger
    ledger.engine.dispose()


def write(ledger: Ledger) -> None:
    with ledger.write() as unit:
        unit.connection.execute(
            text("INSERT INTO spool (marker, made_at) VALUES (hex(randomblob(8)), '2026-01-01')")
        )


def test_who_stopped_within_a_write_is_named_with_what_to_do(path: Path, ledger: Ledger) -> None:
    with holding(path, stopped=True) as process:
        with pytest.raises(LedgerError) as caught:
            write(ledger)
        said = str(caught.value)
        assert said.startswith("[database] url: the ledger is locked: ")
        assert f"process {process.pid} (" in said
        assert said.endswith(f"let it go on with 'kill -CONT {process.pid}'"), "one remedy"
        assert "stopped" in said
        assert "\n" not in said
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        write(ledger)


def test_who_writes_for_too_long_is_named(path: Path, ledger: Ledger) -> None:
    with holding(path) as process, pytest.raises(LedgerError) as caught:
        write(ledger)
    assert f"process {process.pid} (" in str(caught.value)
    assert "has been writing for too long" in str(caught.value)


def test_looking_drops_no_lock_of_this_process(path: Path, ledger: Ledger) -> None:
    with ledger.write() as unit:
        unit.connection.execute(text("UPDATE batch SET count = count"))
        for _ in range(2):
            holder = holders.writer(path)
            assert holder is not None
            assert holder.pid == os.getpid()
            assert holders.readers(path)
        with closing(sqlite3.connect(":memory:")):  # another file's locks are nothing to ours
            pass
        other = subprocess.run(
            [sys.executable, "-c", "import sqlite3, sys\nsqlite3.connect(sys.argv[1], timeout=0)"
             ".execute('BEGIN IMMEDIATE')", str(path)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert "database is locked" in other.stderr
    assert holders.writer(path) is None


def test_a_reader_is_named_while_it_reads(path: Path, ledger: Ledger) -> None:
    write(ledger)
    with holding(path, how="BEGIN") as process:
        assert process.pid in [each.pid for each in holders.readers(path).values()]
        for _ in range(3):
            write(ledger)
            ledger.require_still()
        assert process.pid in [each.pid for each in holders.readers(path).values()]
    assert process.pid not in [each.pid for each in holders.readers(path).values()]


def test_where_nobody_is_seen_nobody_is_named(tmp_path: Path) -> None:
    assert holders.writer(tmp_path / "none.sqlite") is None
    assert holders.readers(tmp_path / "none.sqlite") == {}
    assert holders.runs(2**22 + 1) is None


def test_a_stopped_writer_stands_in_the_way_after_a_while(path: Path, ledger: Ledger) -> None:
    now = 0.0
    stuck = StuckWriter(path, stopped_seconds=10, still_seconds=60, clock=lambda: now)
    assert stuck.look() is None
    with holding(path, stopped=True) as process:
        assert stuck.look() is None
        now = 9.9
        assert stuck.look() is None
        now = 10.0
        found = stuck.look()
        assert found is not None
        assert (found.pid, found.stopped) == (process.pid, True)
    assert stuck.look() is None


def test_a_writer_that_runs_has_longer(path: Path, ledger: Ledger) -> None:
    now = 0.0
    stuck = StuckWriter(path, stopped_seconds=10, still_seconds=60, clock=lambda: now)
    with holding(path) as process:
        for seconds in (0.0, 10.0, 59.0):
            now = seconds
            assert stuck.look() is None
        now = 60.0
        assert isinstance(found := stuck.look(), Holder)
        assert found.pid == process.pid


def test_one_that_is_busy_writing_does_not_stand_in_the_way(path: Path, ledger: Ledger) -> None:
    """Seen with the lock each time, but in another transaction each time."""
    now = 0.0
    stuck = StuckWriter(path, stopped_seconds=10, still_seconds=60, clock=lambda: now)
    for seconds in range(0, 600, 30):
        now = seconds
        write(ledger)
        with ledger.write():
            assert stuck.look() is None


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["/usr/bin/python3", "-m", "dicom_node", "upkeep"], "dicom-node upkeep"),
        (["/opt/x/bin/python", "/opt/x/bin/dicom-node", "audit", "export", "/secret/a.csv"],
         "dicom-node audit export"),
        (["/opt/x/bin/python", "-m", "dicom_node", "study", "--config", "/x"], "dicom-node study"),
        (["python", "-m", "celery", "-A", "workers.app", "worker", "-Q", "infer", "-P", "solo"],
         "celery worker infer"),
        (["python", "-P", "-m", "workers", "--quiet", "worker", "-Q", "deliver", "-c", "2"],
         "celery worker deliver"),
        (["python", "-P", "-m", "dicom_node", "upkeep"], "dicom-node upkeep"),
        (["/usr/bin/sqlite3", "/home/anna/ledger.sqlite"], "sqlite3"),
        ([""], "a kernel's thread"),
    ],
)  # fmt: skip
def test_a_command_is_told_without_what_follows(words: list[str], shown: str) -> None:
    assert holders._command(words) == shown

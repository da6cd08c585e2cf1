"""Two intake processes are sent the same SOP Instance UID at the same moment: nothing is lost."""

from __future__ import annotations

import logging
import multiprocessing
import os
from collections import Counter
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import pytest
import structlog
from sqlalchemy import select

from dicom_node.errors import NodeError
from dicom_node.intake.intake import LedgerIntake
from dicom_node.ledger.tables import InstanceRow
from dicom_node.ledger.unit_of_work import Ledger
from dicom_node.network.accept.ports import SUCCESS, Caller
from dicom_node.spool.spool import Spool
from tests.support.factories.received import received
from tests.support.ledgers import fresh_url, open_ledger
from tests.support.postgres import Postgres

pytestmark = pytest.mark.holds(number=11)

ROUNDS = 1000
_WAIT = 60.0


def _data(number: int, index: int, *, differ: bool) -> bytes:
    return b"%d of %d " % (number, index if differ else 0) * 100


def _intake(
    index: int, folder: Path, url: str, *, differ: bool, together: Barrier, answers: Any
) -> None:
    """One intake: receive an object a round, as the other does."""
    os.fsync = os.fdatasync = lambda fd: None  # many rounds, none of which is about the disk
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    spool = Spool(folder)
    ledger = open_ledger(url)
    intake = LedgerIntake(
        ledger, spool, name=f"intake:{index}", refuse_conflicts=False,
        minimum_free_fraction=0.0, minimum_free_bytes=0,
    )  # fmt: skip
    caller = Caller(f"{index:032x}", f"CT{index}", "DENOISE", "10.1.2.3")
    intake.opened(caller)
    found: Counter[str] = Counter()
    for number in range(ROUNDS):
        uid = f"1.2.3.{number}"
        one = received(spool, uid, _data(number, index, differ=differ), caller=caller)
        together.wait(_WAIT)
        try:
            found[f"0x{intake.store(one):04X}"] += 1
        except NodeError as error:
            found[str(error)] += 1
    intake.stop()
    ledger.engine.dispose()
    answers.put(found)


def run_two(folder: Path, url: str, *, differ: bool) -> Counter[str]:
    """Run both to their end; returns how often each answer was given."""
    context = multiprocessing.get_context("spawn")
    together, answers = context.Barrier(2), context.Queue()
    processes = [
        context.Process(
            target=_intake,
            args=(index, folder, url),
            kwargs={"differ": differ, "together": together, "answers": answers},
        )
        for index in range(2)
    ]
    for process in processes:
        process.start()
    try:
        found: Counter[str] = Counter()
        for _ in processes:
            found.update(answers.get(timeout=4 * _WAIT))
        return found
    finally:
        for process in processes:
            process.kill()
            process.join()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return fresh_url(tmp_path / "ledger")
    server: Postgres = request.getfixturevalue("postgres_server")
    return server.create_database(f"two_{abs(hash(request.node.name))}")


def _states(ledger: Ledger) -> dict[str, list[str]]:
    with ledger.read() as session:
        states: dict[str, list[str]] = {}
        for uid, state in session.execute(
            select(InstanceRow.sop_instance_uid, InstanceRow.state).order_by(InstanceRow.id)
        ):
            states.setdefault(uid, []).append(state)
        return states


def _named(ledger: Ledger, spool: Spool) -> list[Path]:
    with ledger.read() as session:
        return [spool.root / (path or "-") for path in session.execute(
            select(InstanceRow.path)).scalars()]  # fmt: skip


def _files(spool: Spool) -> set[Path]:
    return {path for path in (spool.root / "instances").rglob("*") if path.is_file()}


@pytest.mark.parametrize("differ", [False, True], ids=["same bytes", "other bytes"])
def test_of_two_at_once_one_takes_the_uid_and_no_file_that_a_row_names_goes(
    tmp_path: Path, ledger_url: str, differ: bool
) -> None:
    ledger = open_ledger(ledger_url)
    spool = Spool(tmp_path / "spool")
    answers = run_two(spool.root, ledger_url, differ=differ)
    assert answers == {f"0x{SUCCESS:04X}": 2 * ROUNDS}
    states = _states(ledger)
    assert len(states) == ROUNDS
    right = ["conflict", "received"] if differ else ["received"]
    assert Counter(tuple(sorted(found)) for found in states.values()) == {tuple(right): ROUNDS}
    named = _named(ledger, spool)
    assert len(set(named)) == len(named)
    assert _files(spool) == set(named)
    ledger.engine.dispose()

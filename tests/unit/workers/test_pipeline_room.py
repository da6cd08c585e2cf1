"""Results leave room for the ledger and the broker, which lie on the same disk as a rule."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select
from structlog.testing import capture_logs

from dicom_node.ledger.tables import AuditRow, BatchRow, WorkItemRow
from dicom_node.settings import Settings
from tests.support.denoising import (
    ONE_ROUTE,
    FakeDenoisers,
    pipeline_of,
    reasons,
    receive,
    states,
    work,
)
from tests.support.ledgers import Life
from workers import pipeline as stages
from workers.load import load
from workers.pipeline import CHUNK, Pipeline

COUNT = 3 * CHUNK
MEGABYTE = 2**20


class Disk:
    """A file system with so much room."""

    def __init__(self, life: Life, patch: pytest.MonkeyPatch) -> None:
        self.free = 600 * MEGABYTE
        patch.setattr(life.spool, "free_bytes", lambda: self.free)
        patch.setattr(life.spool, "free_fraction", lambda: 0.5)


@pytest.fixture
def life(tmp_path: Path) -> Any:
    life = Life(tmp_path / "node", tree=ONE_ROUTE)
    life.associate()
    yield life
    life.close()


@pytest.fixture
def disk(life: Life, monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(life, monkeypatch)


@pytest.fixture
def denoisers() -> FakeDenoisers:
    return FakeDenoisers()


@pytest.fixture
def pipeline(life: Life, denoisers: FakeDenoisers, disk: Disk) -> Pipeline:
    settings = Settings(storage={"path": life.folder, "minimum_free_percent": 0}, **ONE_ROUTE)
    found = pipeline_of(life, denoisers, settings)
    found._room.lasts = 0.0
    return found


def files(life: Life) -> int:
    return sum(1 for _ in (life.folder / "results").rglob("*.dcm"))


def tries(life: Life) -> tuple[list[int], list[int]]:
    batches = life.rows(select(BatchRow.attempts).order_by(BatchRow.id))
    items = life.rows(select(WorkItemRow.tries).order_by(WorkItemRow.id))
    return [row.attempts for row in batches], [row.tries for row in items]


def test_no_result_is_written_past_the_watermark_and_the_reason_is_told(
    life: Life, disk: Disk, pipeline: Pipeline
) -> None:
    receive(life, COUNT)
    disk.free = 500 * MEGABYTE
    with capture_logs() as lines:
        work(life, pipeline)
    assert (files(life), set(states(life))) == (0, {"planned"})
    assert tries(life) == ([0], [0] * COUNT)
    assert all("minimum_free" in str(reason) for reason in reasons(life))
    (line,) = [line for line in lines if line["event"] == "batch.waits"]
    assert "500 MB free" in line["reason"]


def test_it_goes_on_by_itself_once_there_is_room(
    life: Life, disk: Disk, pipeline: Pipeline
) -> None:
    receive(life, COUNT)
    disk.free = 500 * MEGABYTE
    assert pipeline.run_next()
    disk.free = 600 * MEGABYTE
    life.clock.advance(60)
    assert pipeline.run_next()
    assert states(life) == ["denoised"] * COUNT


def fill(disk: Disk) -> Callable[[Sequence[Any]], None]:
    def before(_: Sequence[Any]) -> None:
        disk.free = 500 * MEGABYTE

    return before


def test_a_disk_that_fills_up_in_the_middle_ends_the_batch_there(
    life: Life, disk: Disk, pipeline: Pipeline, denoisers: FakeDenoisers
) -> None:
    receive(life, COUNT)
    denoisers.before = fill(disk)
    work(life, pipeline)
    assert files(life) <= CHUNK
    assert "planned" in states(life)
    assert tries(life)[0] == [0]
    denoisers.before = lambda _: None
    disk.free = 600 * MEGABYTE
    life.clock.advance(60)
    work(life, pipeline)
    assert states(life) == ["denoised"] * COUNT


def test_what_is_at_fault_itself_while_the_disk_is_full_has_had_a_try(
    life: Life, disk: Disk, pipeline: Pipeline, denoisers: FakeDenoisers,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def poisoned(file: Any, *, name: str) -> Any:
        if name == "1.2.4.2":
            raise ZeroDivisionError
        return load(file, name=name)

    monkeypatch.setattr(stages, "load", poisoned)
    denoisers.before = fill(disk)
    receive(life, CHUNK)
    work(life, pipeline)
    assert set(states(life)) == {"planned"}
    assert tries(life) == ([0], [0, 1, 0, 0])


def test_that_it_goes_on_is_told_once(life: Life, disk: Disk, pipeline: Pipeline) -> None:
    receive(life, COUNT)
    disk.free = 500 * MEGABYTE
    assert pipeline.run_next()
    disk.free = 600 * MEGABYTE
    life.clock.advance(60)
    with capture_logs() as lines:
        assert pipeline.run_next()
        assert not pipeline.run_next()
    assert [line["event"] for line in lines].count("spool.room") == 1


def test_a_worker_that_waits_for_room_writes_nothing_into_the_ledger_meanwhile(
    life: Life, disk: Disk, pipeline: Pipeline
) -> None:
    """It grows on the same disk, and a thousand batches may be due."""
    receive(life, COUNT)
    disk.free = 500 * MEGABYTE
    assert pipeline.run_next()
    life.clock.advance(3600)
    before = life.rows(select(func.count()).select_from(AuditRow))
    for _ in range(3):
        assert not pipeline.run_next()
    assert life.rows(select(func.count()).select_from(AuditRow)) == before
    assert tries(life) == ([0], [0] * COUNT)


def test_waiting_for_room_is_never_a_try_however_long_it_takes(
    life: Life, disk: Disk, pipeline: Pipeline
) -> None:
    receive(life, COUNT)
    disk.free = 500 * MEGABYTE
    for _ in range(5):
        work(life, pipeline)
        life.clock.advance(100 * 3600)
    assert (set(states(life)), tries(life)[0]) == ({"planned"}, [0])

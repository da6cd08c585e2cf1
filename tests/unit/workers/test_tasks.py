"""What the tasks do with a ring, and with faults."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest
from celery.worker import state

from dicom_node.errors import LedgerError, OtherMigration
from model_store.engines.base import DeviceLostError
from workers import tasks


@pytest.fixture(autouse=True)
def running(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "should_stop", None)
    monkeypatch.setattr(state, "should_terminate", None)


def _app(monkeypatch: pytest.MonkeyPatch, step: Callable[[], bool]) -> None:
    one = SimpleNamespace(run_next=step)
    monkeypatch.setattr(tasks, "app", SimpleNamespace(pipeline=one, courier=one))


def _raising(error: Exception) -> Callable[[], bool]:
    def step() -> bool:
        raise error

    return step


def test_a_worker_whose_device_is_lost_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    _app(monkeypatch, _raising(DeviceLostError("gone")))
    tasks.infer.run(1)
    assert state.should_stop


@pytest.mark.parametrize("task", [tasks.infer, tasks.deliver])
def test_a_worker_outlives_a_ledger_that_is_away(
    monkeypatch: pytest.MonkeyPatch, task: Callable[[int], None]
) -> None:
    _app(monkeypatch, _raising(LedgerError("away")))
    task.run(1)  # type: ignore[attr-defined]
    assert state.should_stop is None


@pytest.mark.parametrize("task", [tasks.infer, tasks.deliver])
def test_a_worker_of_another_release_than_the_ledger_ends(
    monkeypatch: pytest.MonkeyPatch, task: Callable[[int], None]
) -> None:
    _app(monkeypatch, _raising(OtherMigration("the ledger is at migration 9999")))
    task.run(1)  # type: ignore[attr-defined]
    assert state.should_stop


@pytest.mark.parametrize("task", [tasks.infer, tasks.deliver])
def test_one_ring_is_worked_on_until_nothing_is_due(
    monkeypatch: pytest.MonkeyPatch, task: Callable[[int], None]
) -> None:
    due = [1, 2, 3]

    def step() -> bool:
        if due:
            due.pop()
            return True
        return False

    _app(monkeypatch, step)
    task.run(1)  # type: ignore[attr-defined]
    assert not due


@pytest.mark.parametrize("flag", ["should_stop", "should_terminate"])
@pytest.mark.parametrize("task", [tasks.infer, tasks.deliver])
def test_a_worker_that_is_told_to_stop_takes_nothing_more(
    monkeypatch: pytest.MonkeyPatch, task: Callable[[int], None], flag: str
) -> None:
    done = []

    def step() -> bool:
        done.append(1)
        if len(done) == 2:
            setattr(state, flag, 0)  # the exit status of a stop in order
        return len(done) < 9

    _app(monkeypatch, step)
    task.run(1)  # type: ignore[attr-defined]
    assert len(done) == 2

"""What the tasks do with faults."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from celery.worker import state

from dicom_node.errors import LedgerError, OtherMigration
from model_store.engines.base import DeviceLostError
from workers import tasks


@pytest.fixture
def stopping(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "should_stop", None)


def _raising(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def run(batch_id: int) -> None:
        raise error

    monkeypatch.setattr(tasks, "app", SimpleNamespace(pipeline=SimpleNamespace(run=run)))


@pytest.mark.usefixtures("stopping")
def test_a_worker_whose_device_is_lost_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    _raising(monkeypatch, DeviceLostError("gone"))
    tasks.infer.run(1)
    assert state.should_stop


@pytest.mark.usefixtures("stopping")
def test_a_worker_outlives_a_ledger_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    _raising(monkeypatch, LedgerError("away"))
    tasks.infer.run(1)
    assert state.should_stop is None


@pytest.mark.usefixtures("stopping")
def test_a_worker_of_another_release_than_the_ledger_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    _raising(monkeypatch, OtherMigration("the ledger is at migration 9999"))
    tasks.infer.run(1)
    assert state.should_stop

"""The bell: a broker that is down or away costs a line in the log, and no work."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from dicom_node.db.unit_of_work import Ledger
from dicom_node.outbox import CeleryBell, Queue, Ring, SilentBell
from dicom_node.settings import Settings
from tests.ledgers import fresh_url, open_ledger
from tests.servers import Redis, free_port


def settings(folder: Path, url: str | None = None) -> Settings:
    broker = {} if url is None else {"broker": {"url": url}}
    return Settings(storage={"path": folder}, **broker)  # type: ignore[arg-type]


@pytest.mark.parametrize("url", ["redis://127.0.0.1:{port}/0", "redis://no-such-host.invalid/0"])
def test_a_broker_that_is_away_is_said_and_forgiven(tmp_path: Path, url: str) -> None:
    bell = CeleryBell(settings(tmp_path, url.format(port=free_port())))
    with capture_logs() as lines:
        for number in range(50):
            bell.ring(Ring(Queue.INFER, number))
    assert lines
    assert {line["event"] for line in lines} == {"broker.unreachable"}


def test_a_message_is_a_queue_and_a_number_and_nothing_else(tmp_path: Path) -> None:
    bell = CeleryBell(settings(tmp_path))
    bell.ring(Ring(Queue.INFER, 4711))
    files = [path for path in (tmp_path / "broker").rglob("*") if path.is_file()]
    messages = [path.read_text(encoding="utf-8") for path in files if "infer" in path.name]
    assert len(messages) == 1
    headers = json.loads(messages[0])["headers"]
    assert headers["task"] == "infer"
    assert headers["argsrepr"] == "(4711,)"


@pytest.mark.redis
def test_a_broker_that_comes_back_is_rung_again(tmp_path: Path) -> None:
    with Redis() as server:
        bell = CeleryBell(settings(tmp_path, server.url))
        bell.ring(Ring(Queue.DELIVER, 1))
        server.kill()
        with capture_logs() as lines:
            bell.ring(Ring(Queue.DELIVER, 2))
        assert [line["event"] for line in lines] == ["broker.unreachable"]
        server.start()
        with capture_logs() as lines:
            for number in range(3, 6):
                bell.ring(Ring(Queue.DELIVER, number))
        assert "broker.unreachable" not in [line["event"] for line in lines[-1:]]


def test_bells_ring_after_the_commit_and_not_without_one(tmp_path: Path) -> None:
    bell = SilentBell()
    ledger = Ledger(open_ledger(fresh_url(tmp_path)).engine, bell)
    with ledger.write() as unit:
        unit.ring(Ring(Queue.INFER, 1))
        assert bell.rings == []
    assert bell.rings == [Ring(Queue.INFER, 1)]
    with pytest.raises(ZeroDivisionError), ledger.write() as unit:
        unit.ring(Ring(Queue.INFER, 2))
        raise ZeroDivisionError
    assert bell.rings == [Ring(Queue.INFER, 1)]

"""The bell: a broker that is down or away costs a line in the log, and no work."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
import redis
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
    assert [line["event"] for line in lines] == ["broker.unreachable"]  # then not tried for a while


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
        deadline = time.monotonic() + 30
        while server_messages(server) == 0 and time.monotonic() < deadline:
            bell.ring(Ring(Queue.DELIVER, 3))
            time.sleep(0.5)
        assert server_messages(server) > 0


def server_messages(server: Redis) -> int:
    with redis.Redis.from_url(server.url) as client:
        return int(client.llen("deliver"))


def test_bells_ring_after_the_commit_and_not_without_one(tmp_path: Path) -> None:
    bell = SilentBell()
    ledger = Ledger(open_ledger(fresh_url(tmp_path)).engine, bell)
    with ledger.write() as unit:
        unit.ring(Ring(Queue.INFER, 1))
        assert bell.rings == []
    assert bell.rings == [Ring(Queue.INFER, 1)]
    with pytest.raises(ZeroDivisionError), ledger.write() as unit:  # noqa: PT012
        unit.ring(Ring(Queue.INFER, 2))
        raise ZeroDivisionError
    assert bell.rings == [Ring(Queue.INFER, 1)]

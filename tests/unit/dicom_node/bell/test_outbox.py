"""The bell: one ring is enough, and a broker that is away costs a line in the log, and no work."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import redis
from structlog.testing import capture_logs

from dicom_node.bell import rings
from dicom_node.bell.broker import rings_of
from dicom_node.bell.outbox import BrokerBell, Queue, Ring, SilentBell
from dicom_node.ledger.unit_of_work import Ledger
from dicom_node.settings import Settings
from tests.support.ledgers import fresh_url, open_ledger
from tests.support.servers import Redis, dead_port
from tests.support.waiting import eventually

SECONDS = 30.0


def bell_of(folder: Path, url: str | None = None) -> BrokerBell:
    broker = {} if url is None else {"broker": {"url": url}}
    tree = Settings(storage={"path": folder}, **broker)  # type: ignore[arg-type]
    return BrokerBell(rings_of(tree))


@pytest.mark.parametrize("url", ["redis://127.0.0.1:{port}/0", "redis://no-such-host.invalid/0"])
def test_a_broker_that_is_away_is_said_and_forgiven(tmp_path: Path, url: str) -> None:
    bell = bell_of(tmp_path, url.format(port=dead_port()))
    with capture_logs() as lines:
        for number in range(50):
            bell.ring(Ring(Queue.INFER, number))
        assert bell.wait(SECONDS)
    assert [line["event"] for line in lines] == ["broker.unreachable"]  # then not tried for a while


def test_a_message_is_a_queue_and_a_number_and_nothing_else(tmp_path: Path) -> None:
    bell = bell_of(tmp_path)
    bell.ring(Ring(Queue.INFER, 4711))
    assert bell.wait(SECONDS)
    (path,) = (tmp_path / "broker" / "messages").iterdir()
    assert path.name.endswith(".infer.msg")
    assert rings.ledger_id_of(path.read_bytes(), "infer") == 4711


def test_one_ring_that_waits_is_enough(tmp_path: Path) -> None:
    bell = bell_of(tmp_path)
    for number in range(5000):
        bell.ring(Ring(Queue.INFER, number))
        if number % 100 == 0:
            bell.ring(Ring(Queue.DELIVER, number))
            assert bell.wait(SECONDS)
    assert bell.wait(SECONDS)
    names = [path.name.split(".", 1)[1] for path in (tmp_path / "broker" / "messages").iterdir()]
    assert sorted(names) == ["deliver.msg", "infer.msg"]


class Hanging:
    """Rings in a broker that does not answer until it is told to."""

    where = "nowhere"

    def __init__(self) -> None:
        self.answers = threading.Event()
        self.put_down: list[tuple[str, int]] = []

    def waiting(self, queue: str) -> int:
        self.answers.wait(SECONDS)
        return 0

    def put(self, queue: str, ledger_id: int) -> None:
        self.put_down.append((queue, ledger_id))

    def take(self, queue: str) -> bytes | None:
        return None


def test_nobody_who_rings_waits_for_a_broker_that_hangs() -> None:
    broker = Hanging()
    bell = BrokerBell(broker)
    for number in range(3):
        bell.ring(Ring(Queue.INFER, number))
        bell.ring(Ring(Queue.DELIVER, number))
    assert not bell.wait(0.05)
    assert broker.put_down == []
    broker.answers.set()
    assert bell.wait(SECONDS)
    assert {queue for queue, _ in broker.put_down} == {"infer", "deliver"}
    assert ("infer", 2) in broker.put_down  # what was rung for last is not thought rung already


@pytest.mark.redis
def test_a_broker_that_comes_back_is_rung_again(tmp_path: Path) -> None:
    with Redis() as server:
        bell = bell_of(tmp_path, server.url)
        bell.ring(Ring(Queue.DELIVER, 1))
        assert bell.wait(SECONDS)
        server.kill()
        with capture_logs() as lines:
            bell.ring(Ring(Queue.DELIVER, 2))
            assert bell.wait(SECONDS)
        assert [line["event"] for line in lines] == ["broker.unreachable"]
        server.start()

        def rung() -> bool:
            bell.ring(Ring(Queue.DELIVER, 3))
            assert bell.wait(SECONDS)
            return server_messages(server) > 0

        eventually(rung)
        bell.ring(Ring(Queue.DELIVER, 4))
        assert bell.wait(SECONDS)
        assert server_messages(server) == 1


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


def test_whatever_becomes_due_in_one_transaction_is_one_ring(tmp_path: Path) -> None:
    bell = SilentBell()
    with Ledger(open_ledger(fresh_url(tmp_path)).engine, bell).write() as unit:
        for number in range(3):
            unit.ring(Ring(Queue.INFER, number))
            unit.ring(Ring(Queue.DELIVER, number))
    assert bell.rings == [Ring(Queue.INFER, 0), Ring(Queue.DELIVER, 0)]

"""How a worker hears: whatever lies in the broker is a ring, and silence does not last."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from queue import Empty

import pytest
from celery import Celery
from kombu.connection import Connection
from structlog.testing import capture_logs

from dicom_node.bell.broker import broker_configuration
from dicom_node.bell.folder_broker import FolderRings
from dicom_node.bell.outbox import Queue
from dicom_node.bell.ring_transport import Channel, Ear, Transport
from dicom_node.bell.rings import message
from dicom_node.errors import BrokerAway
from dicom_node.settings import Settings


class Broker:
    """Rings as a test wants them."""

    where = "nowhere"

    def __init__(self) -> None:
        self.away = False
        self.rings: list[bytes] = []
        self.asked = 0

    def put(self, queue: str, ledger_id: int) -> None:
        self.rings.append(json.dumps(message(queue, ledger_id)).encode())

    def take(self, queue: str) -> bytes | None:
        self.asked += 1
        if self.away:
            raise BrokerAway("it hangs")
        return self.rings.pop(0) if self.rings else None

    def waiting(self, queue: str) -> int:
        if self.away:
            raise BrokerAway("it hangs")
        return len(self.rings)


class Clock:
    def __init__(self) -> None:
        self.at = 0.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def broker() -> Broker:
    return Broker()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ear(broker: Broker, clock: Clock) -> Ear:
    return Ear(broker, 5.0, clock)


def test_a_ring_is_heard_once(ear: Ear, broker: Broker) -> None:
    broker.put("infer", 1)
    assert [ear.hear("infer") for _ in range(3)] == [True, False, False]


@pytest.mark.parametrize("data", [b"", b"{}", b"\xff", json.dumps(message("deliver", 1)).encode()])
def test_rubbish_is_a_ring_and_said(ear: Ear, broker: Broker, data: bytes) -> None:
    broker.rings.append(data)
    with capture_logs() as lines:
        assert ear.hear("infer")
    assert [line["event"] for line in lines] == ["broker.rubbish"]


def test_much_rubbish_is_said_once_in_a_while(ear: Ear, broker: Broker, clock: Clock) -> None:
    clock.at = 1000.0
    broker.rings += [b"{}"] * 500
    with capture_logs() as lines:
        for _ in range(500):
            assert ear.hear("infer")
            clock.at += 0.2
    assert [line["so_far"] for line in lines] == [1, 301]


def test_a_worker_that_hears_nothing_looks_by_itself(ear: Ear, clock: Clock) -> None:
    heard = []
    for _ in range(140):
        heard.append(ear.hear("infer"))
        clock.at += 0.1
    assert heard.count(True) == 2


def test_a_broker_that_is_away_is_said_once_and_costs_a_second(
    ear: Ear, broker: Broker, clock: Clock
) -> None:
    broker.away = True
    with capture_logs() as lines:
        heard = []
        for _ in range(3000):
            heard.append(ear.hear("infer"))
            clock.at += 0.1
        assert 270 <= heard.count(True) <= 301
        assert 200 < broker.asked <= 301  # each time may cost a second or two
        broker.away = False
        broker.put("infer", 1)
        clock.at += 1.1
        assert ear.hear("infer")
        assert not ear.hear("infer")
    assert [line["event"] for line in lines] == ["broker.away", "broker.back"]


@pytest.fixture
def channel(tmp_path: Path) -> Iterator[Channel]:
    options = {"url": None, "folder": str(tmp_path), "look_seconds": 5.0}
    with Connection("rings://", transport=Transport, transport_options=options) as connection:
        yield connection.channel()


def test_celery_gets_messages_that_are_made_anew(channel: Channel, tmp_path: Path) -> None:
    (tmp_path / "0_x.infer.msg").write_bytes(b"\xff")
    made = channel._get("infer")
    assert made["headers"]["task"] == "infer"
    assert made == message("infer", 0) | {
        "headers": made["headers"], "properties": made["properties"]
    }  # fmt: skip
    with pytest.raises(Empty):
        channel._get("infer")


def test_only_the_nodes_own_queues_exist(channel: Channel, tmp_path: Path) -> None:
    for queue in ("celeryev", "celery", "../x", *Queue):
        channel._put(queue, {})
    assert sorted(path.name.split(".", 1)[1] for path in tmp_path.iterdir()) == [
        "deliver.msg", "infer.msg",
    ]  # fmt: skip
    assert channel._size("infer") == 1
    assert channel._purge("infer") == 1
    assert channel._size("infer") == 0


def test_celery_finds_it_by_the_configuration_and_nothing_else_is_written(tmp_path: Path) -> None:
    app = Celery("test", set_as_current=False)
    app.conf.update(broker_configuration(Settings(storage={"path": tmp_path})))
    messages = tmp_path / "broker" / "messages"
    FolderRings(messages).put("infer", 7)
    with app.connection_for_read() as connection:
        assert isinstance(connection.transport, Transport)
        with connection.SimpleQueue("infer") as queue:
            taken = queue.get(timeout=5)
            assert taken.payload[0] == [0]
            # Not acknowledged: and still nothing is given back when the connection closes.
    assert list(messages.iterdir()) == []
    assert [path.name for path in (tmp_path / "broker").iterdir()] == ["messages"]

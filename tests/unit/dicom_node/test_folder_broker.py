from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterator
from pathlib import Path
from queue import Empty
from typing import Any

import pytest
from celery import Celery
from kombu import Connection

from dicom_node.broker import broker_configuration
from dicom_node.folder_broker import Channel, Transport
from dicom_node.settings import Settings

MESSAGES = 400


def connect(folder: Path) -> Connection:
    options = {"data_folder_in": str(folder), "data_folder_out": str(folder)}
    return Connection("filesystem://", transport=Transport, transport_options=options)


@pytest.fixture
def channel(tmp_path: Path) -> Iterator[Channel]:
    with connect(tmp_path) as connection:
        yield connection.channel()


def test_messages_come_out_in_order_and_once(channel: Channel, tmp_path: Path) -> None:
    for number in range(5):
        channel._put("infer", {"number": number})
    assert [channel._get("infer")["number"] for _ in range(5)] == list(range(5))
    with pytest.raises(Empty):
        channel._get("infer")
    assert not list(tmp_path.iterdir())


def test_queues_are_apart(channel: Channel) -> None:
    channel._put("deliver", {"number": 1})
    with pytest.raises(Empty):
        channel._get("infer")
    assert channel._size("deliver") == 1
    assert channel._get("deliver") == {"number": 1}


def test_a_message_cut_short_by_a_power_failure_is_dropped(
    channel: Channel, tmp_path: Path
) -> None:
    (tmp_path / "00000000000000000001_x.infer.msg").touch()
    channel._put("infer", {"number": 1})
    assert channel._get("infer") == {"number": 1}
    assert not list(tmp_path.iterdir())


def _take(folder: Path, taken: Any) -> None:
    with connect(folder) as connection:
        channel = connection.channel()
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                number = channel._get("infer")["number"]
            except Empty:
                continue
            if number < 0:
                return
            taken.put(number)


def test_readers_that_never_pause_get_each_message_whole_and_once(
    channel: Channel, tmp_path: Path
) -> None:
    context = multiprocessing.get_context("spawn")
    taken = context.Queue()
    readers = [context.Process(target=_take, args=(tmp_path, taken)) for _ in range(2)]
    for reader in readers:
        reader.start()
    for number in range(MESSAGES):
        channel._put("infer", {"number": number, "padding": "x" * 2000})
    numbers = sorted(taken.get(timeout=60) for _ in range(MESSAGES))
    for _ in readers:
        channel._put("infer", {"number": -1})
    for reader in readers:
        reader.join(30)
        assert reader.exitcode == 0
    assert numbers == list(range(MESSAGES))


def test_celery_finds_it_by_the_configuration_and_nothing_else_is_written(tmp_path: Path) -> None:
    settings = Settings(storage={"path": tmp_path})
    app = Celery("test", set_as_current=False)
    app.conf.update(broker_configuration(settings))
    app.send_task("infer", args=(7,), queue="infer", ignore_result=True)
    messages = tmp_path / "broker" / "messages"
    assert [path.name.split(".", 1)[1] for path in messages.iterdir()] == ["infer.msg"]
    with app.connection_for_read() as connection:
        assert isinstance(connection.transport, Transport)
        with connection.SimpleQueue("infer") as queue:
            assert queue.get(timeout=5).payload[0] == [7]
    assert [path.name for path in (tmp_path / "broker").iterdir()] == ["messages"]


def test_removing_the_folder_only_flushes_it(tmp_path: Path) -> None:
    folder = tmp_path / "messages"
    with connect(folder) as connection:
        channel = connection.channel()
        with pytest.raises(Empty):
            channel._get("infer")
        channel._put("infer", {"number": 1})
        channel._purge("infer")
        folder.rmdir()
        channel._put("infer", {"number": 2})
        assert channel._get("infer") == {"number": 2}

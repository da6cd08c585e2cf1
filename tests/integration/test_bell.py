"""A real worker and its broker: rubbish, kills and silence of the broker stop no work."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import redis
from sqlalchemy import select

from dicom_node.bell.broker import rings_of
from dicom_node.bell.folder_broker import FolderRings
from dicom_node.bell.outbox import BrokerBell, SilentBell
from dicom_node.ledger.tables import DeliveryRow, ResultRow
from dicom_node.settings import Settings
from tests.support.factories import ct_slice, to_bytes
from tests.support.ledgers import Life
from tests.support.pacs import FakePacs
from tests.support.servers import Redis

SECONDS = 120.0
"""How long a test waits for what must come; nothing is measured."""

NODE = """
[storage]
path = "{storage}"
[log]
format = "json"
{more}
[[destinations]]
name = "pacs"
ae_title = "PACS"
host = "127.0.0.1"
port = {port}
timeout_seconds = 10
[[routes]]
name = "ct"
when = {{ Modality = "CT" }}
model = "toy@production"
destinations = ["pacs"]
"""


class Sender:
    """A ledger whose results are real files, one parcel a series, and a worker that sends them."""

    def __init__(self, folder: Path, port: int, url: str | None) -> None:
        folder.mkdir(parents=True)
        more = f'[broker]\nurl = "{url}"' if url else ""
        self.config = folder / "node.toml"
        self.config.write_text(NODE.format(storage=folder / "node", port=port, more=more))
        tree = {
            "destinations": [
                {"name": "pacs", "ae_title": "PACS", "host": "127.0.0.1", "port": port}
            ],
            "routes": [
                {"name": "ct", "when": {"Modality": "CT"}, "model": "toy@production",
                 "destinations": ["pacs"]}
            ],
        }  # fmt: skip
        self.life = Life(folder / "node", tree=tree)
        broker = {"broker": {"url": url}} if url else {}
        settings = Settings(storage={"path": folder / "node"}, **broker)  # type: ignore[arg-type]
        self.life.ledger.bell = BrokerBell(rings_of(settings))
        self.life.associate()
        self.log = folder / "worker.log"
        self.process: subprocess.Popen[bytes] | None = None
        self._series = 0

    def make(self, count: int) -> None:
        """Make so many parcels of one object due, and ring."""
        self.life.clock.at = datetime.now(UTC) - timedelta(seconds=30)
        for _ in range(count):
            self._series += 1
            self.life.receive_series(1, f"1.2.{self._series + 100}")
        bell, self.life.ledger.bell = self.life.ledger.bell, SilentBell()
        self.life.denoise_all()  # or a worker that listens for batches, too, is the faster one
        self.life.ledger.bell = bell
        with self.life.ledger.write() as unit:
            rows = unit.session.execute(select(ResultRow).where(ResultRow.sha256 == "0" * 64))
            for (row,) in rows:
                path = self.life.spool.result_path(row.sop_instance_uid)
                data = to_bytes(ct_slice(size=(4, 4), SOPInstanceUID=row.sop_instance_uid))
                path.write_bytes(data)
                row.path = str(path.relative_to(self.life.spool.root))
                row.sha256 = sha256(data).hexdigest()
                row.size = len(data)
                row.sop_class_uid = "1.2.840.10008.5.1.4.1.1.2"
        self.ring()

    def ring(self) -> None:
        """Ring as upkeep does."""
        self.life.upkeep.catch_up()

    def start(self, queues: str = "deliver") -> None:
        """Run a worker as a cluster does."""
        command = ["-m", "celery", "-A", "workers.app", "--quiet", "worker", "-Q", queues,
                   "-P", "threads", "-c", "2"]  # fmt: skip
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, *command], stdout=log, stderr=log,
                env={**os.environ, "DICOM_NODE_CONFIG": str(self.config)},
            )  # fmt: skip

    def wait(self, holds: Callable[[], Any], why: str) -> None:
        deadline = time.monotonic() + SECONDS
        while not holds():
            assert self.process is not None
            assert self.process.poll() is None, f"the worker ended; its log:\n{self.said()}"
            assert time.monotonic() < deadline, f"{why}; the worker's log:\n{self.said()}"
            time.sleep(0.05)

    def wait_delivered(self, count: int) -> None:
        self.wait(lambda: self.delivered() >= count, f"{count} were not delivered")

    def delivered(self) -> int:
        return len(self.life.rows(select(DeliveryRow.id).where(DeliveryRow.state == "delivered")))

    def said(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")[-6000:]

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        if self.process is not None:
            self.kill()
        self.life.close()


@contextmanager
def a_sender(folder: Path, url: str | None, **pacs: Any) -> Iterator[tuple[Sender, FakePacs]]:
    with FakePacs(**pacs) as destination:
        sender = Sender(folder / "sender", destination.port, url)
        try:
            yield sender, destination
        finally:
            sender.close()


def message(body: str = "W1sxXSx7fSx7fV0=", task: Any = "deliver", **more: Any) -> bytes:
    """A message as Celery makes them, but for what is to be wrong with it."""
    properties = {
        "delivery_tag": "1", "body_encoding": "base64",
        "delivery_info": {"exchange": "", "routing_key": "deliver"},
    }  # fmt: skip
    whole = {
        "body": body, "content-type": "application/json", "content-encoding": "utf-8",
        "headers": {"task": task, "id": "1"}, "properties": properties,
    }  # fmt: skip
    return json.dumps({**whole, **more}).encode()


RUBBISH: dict[str, bytes] = {
    "no text": b"\xff\xfe\x00\x80",
    "nothing": b"",
    "an object": b"{}",
    "a list": b"[]",
    "a number": b"17",
    "a null": b"null",
    "deep": b"[" * 50_000,
    "huge": b"x" * 5_000_000,
    "no headers": b'{"body": "W10=", "properties": {}}',
    "no properties": b'{"body": "W10=", "headers": {"task": "deliver", "id": "1"}}',
    "a body that is not base64": message("***"),
    "another type of content": message(**{"content-type": "application/x-python-serialize"}),
    "another task": message(task="os.system"),
    "arguments of another shape": message("eyJhIjoxfQ=="),
    "a number beyond all bounds": message("W1sxZTk5OTldLHt9LHt9XQ=="),
    "headers of other types": message(task=["deliver"], properties={"delivery_tag": 7}),
}


def test_rubbish_in_the_folder_stops_no_worker(tmp_path: Path) -> None:
    with a_sender(tmp_path, None) as (sender, pacs):
        folder = tmp_path / "sender" / "node" / "broker" / "messages"
        folder.mkdir(parents=True)
        for number, data in enumerate(RUBBISH.values()):
            (folder / f"0000000000000000{number:04}_x.deliver.msg").write_bytes(data)
        (folder / "00000000000000000100_x.deliver.msg").mkdir()
        (folder / "00000000000000000100_x.deliver.msg" / "inside").touch()
        (folder / "00000000000000000101_x.deliver.msg").symlink_to("/dev/zero")
        (folder / "00000000000000000102_x.deliver.msg").symlink_to("/no/such/file")
        os.mkfifo(folder / "00000000000000000103_x.deliver.msg")
        (folder / "00000000000000000104_x.deliver.msg").write_bytes(b"{}")
        (folder / "00000000000000000104_x.deliver.msg").chmod(0)
        sender.start("infer,deliver")
        sender.make(2)
        sender.wait_delivered(2)
        sender.make(1)
        sender.wait_delivered(3)
        assert len(pacs.received) == 3
        left = [path.name for path in folder.iterdir() if path.name.endswith(".deliver.msg")]
        sender.wait(
            lambda: not any(p.is_file() and not p.is_symlink() for p in folder.iterdir()),
            f"{left} stay",
        )


@pytest.mark.redis
def test_rubbish_in_redis_stops_no_worker(tmp_path: Path) -> None:
    with Redis() as server, a_sender(tmp_path, server.url) as (sender, pacs):
        with redis.Redis.from_url(server.url) as client:
            for data in RUBBISH.values():
                client.lpush("deliver", data)
            client.hset("infer", "a", "b")
        sender.start("infer,deliver")
        sender.make(2)
        sender.wait_delivered(2)
        with redis.Redis.from_url(server.url) as client:
            sender.wait(lambda: client.llen("deliver") == 0, "rubbish stays")
            client.delete("deliver")
            client.set("deliver", "a text where the queue is")
        sender.make(1)
        sender.wait_delivered(3)
        assert len(pacs.received) == 3


@pytest.mark.redis
def test_a_worker_outlives_redis_that_ends_while_a_parcel_is_on_its_way(tmp_path: Path) -> None:
    with Redis() as server, a_sender(tmp_path, server.url, delay=3.0) as (sender, pacs):
        sender.start()
        sender.make(1)
        sender.wait(lambda: pacs.associations, "nothing was sent")
        server.kill()
        sender.wait_delivered(1)
        pacs.delay = 0.0
        server.start()
        sender.make(3)
        sender.wait_delivered(4)
        assert len(pacs.received) == 4


@pytest.mark.redis
def test_a_worker_goes_on_while_redis_hangs_is_emptied_or_full(tmp_path: Path) -> None:
    with Redis() as server, a_sender(tmp_path, server.url) as (sender, pacs):
        sender.start()
        sender.make(1)
        sender.wait_delivered(1)
        server.hang()
        try:
            sender.make(1)
            sender.wait_delivered(2)
        finally:
            server.go_on()
        with redis.Redis.from_url(server.url) as client:
            client.flushall()
            sender.make(1)
            sender.wait_delivered(3)
            client.config_set("maxmemory", "1")
            sender.make(1)
            sender.wait_delivered(4)
            client.config_set("maxmemory", "0")
            client.replicaof("127.0.0.1", "1")
            sender.make(1)
            sender.wait_delivered(5)
            client.replicaof("NO", "ONE")
        sender.make(1)
        sender.wait_delivered(6)
        assert len(pacs.received) == 6


def test_what_a_killed_sender_held_is_sent_by_the_next_at_once(tmp_path: Path) -> None:
    """Its lease would run for two minutes, and count as the destination's only association."""
    with a_sender(tmp_path, None, hang_after=0) as (sender, pacs):
        sender.start()
        sender.make(2)
        sender.wait(lambda: pacs.associations, "nothing was sent")
        sender.kill()
        pacs.hang_after = None
        sender.start()
        sender.wait_delivered(2)


def test_a_worker_takes_no_more_rings_than_it_has_threads(tmp_path: Path) -> None:
    """What it cannot work on is left in the broker for a worker that is idle."""
    with a_sender(tmp_path, None, hang_after=0) as (sender, pacs):
        config = sender.config.read_text().replace("timeout_seconds = 10", "timeout_seconds = 300")
        sender.config.write_text(config.replace("port =", "associations = 2\nport ="))
        sender.start()
        sender.make(2)
        sender.wait(lambda: pacs.associations == 2, "the two threads are not both at work")
        broker = FolderRings(tmp_path / "sender" / "node" / "broker" / "messages")
        for number in range(3):
            broker.put("deliver", number)
        waiting = broker.waiting("deliver")
        time.sleep(1)
        assert broker.waiting("deliver") == waiting >= 3

"""The broker: lost, full, hung, and full of rubbish."""

from __future__ import annotations

import shutil
import signal
import time
from contextlib import suppress
from typing import Final

import psutil
import redis

from tests.chaos.fault import CLUSTER, ONE_MACHINE, Fault, Scene
from tests.chaos.forms import Cluster, OneMachine
from tests.chaos.system import send_signal

_RUBBISH: Final = (
    b"\xff\xfe\xfd not UTF-8",
    b"{}",
    b"[]",
    b"",
    b"null",
    b'{"body": "e30=", "headers": {}, "properties": {}}',
    b'{"body": 7, "content-encoding": "no", "properties": []}',
)
_QUEUES: Final = ("infer", "deliver")


class FolderRemoved(Fault):
    """The embedded broker's folder is removed, again and again."""

    name = "broker removed"
    says = "the embedded broker's folder removed every 0.2 s for 6 s"
    forms = ONE_MACHINE
    seconds = 6.0

    def inject(self, scene: Scene) -> None:
        self._remove(scene)

    def hold(self, scene: Scene) -> None:
        until = time.monotonic() + self.seconds
        while time.monotonic() < until:
            self._remove(scene)
            time.sleep(0.2)

    @staticmethod
    def _remove(scene: Scene) -> None:
        assert isinstance(scene.form, OneMachine)
        shutil.rmtree(scene.form.messages.parent, ignore_errors=True)


class FolderRubbish(Fault):
    """Files and folders that are no messages, with names that are read before all others."""

    name = "rubbish in the broker"
    says = "files that are no messages, and folders with the names of messages; nobody removes them"
    forms = ONE_MACHINE
    quick = True

    def inject(self, scene: Scene) -> None:
        assert isinstance(scene.form, OneMachine)
        folder = scene.form.messages
        folder.mkdir(parents=True, exist_ok=True)
        for queue in _QUEUES:
            for number, data in enumerate(_RUBBISH):
                (folder / f"{number:020d}_rubbish.{queue}.msg").write_bytes(data)
            (folder / f"{99:020d}_folder.{queue}.msg").mkdir(exist_ok=True)


class RedisKilled(Fault):
    """``kill -9`` of Redis; what it held is gone."""

    name = "Redis killed"
    says = "kill -9 of Redis, started again empty 6 s later"
    forms = CLUSTER
    seconds = 6.0
    quick = True

    def inject(self, scene: Scene) -> None:
        _cluster(scene).redis.kill()

    def heal(self, scene: Scene) -> None:
        _cluster(scene).redis.start()


class RedisStopped(Fault):
    """Redis hangs, its connections open."""

    name = "Redis stopped"
    says = "SIGSTOP of Redis for 15 s, then SIGCONT"
    forms = CLUSTER
    seconds = 15.0

    def inject(self, scene: Scene) -> None:
        send_signal(self._process(scene), signal.SIGSTOP)

    def heal(self, scene: Scene) -> None:
        send_signal(self._process(scene), signal.SIGCONT)

    def clean(self, scene: Scene) -> None:
        self.heal(scene)

    @staticmethod
    def _process(scene: Scene) -> list[psutil.Process]:
        process = _cluster(scene).redis.process
        return [] if process is None else [psutil.Process(process.pid)]


class RedisFlushed(Fault):
    """Redis loses everything it holds, again and again."""

    name = "Redis flushed"
    says = "FLUSHALL every 0.2 s for 6 s"
    forms = CLUSTER
    seconds = 6.0

    def inject(self, scene: Scene) -> None:
        _client(scene).flushall()

    def hold(self, scene: Scene) -> None:
        until = time.monotonic() + self.seconds
        while time.monotonic() < until:
            _client(scene).flushall()
            time.sleep(0.2)


class RedisFull(Fault):
    """Redis refuses every write."""

    name = "Redis out of memory"
    says = "maxmemory 1 and no eviction for 8 s"
    forms = CLUSTER
    seconds = 8.0

    def inject(self, scene: Scene) -> None:
        _client(scene).config_set("maxmemory-policy", "noeviction")
        _client(scene).config_set("maxmemory", 1)

    def heal(self, scene: Scene) -> None:
        with suppress(redis.RedisError):
            _client(scene).config_set("maxmemory", 0)

    def clean(self, scene: Scene) -> None:
        self.heal(scene)


class RedisRubbish(Fault):
    """Things in the queues that are no messages, and queues that are no lists."""

    name = "rubbish in Redis"
    says = "things that are no messages in every queue; then a queue that is no list, for 3 s"
    forms = CLUSTER

    def inject(self, scene: Scene) -> None:
        client = _client(scene)
        for queue in _QUEUES:
            for data in _RUBBISH:
                client.rpush(queue, data)
        time.sleep(3.0)
        for queue in _QUEUES:
            client.set(queue, b"not a list")

    def heal(self, scene: Scene) -> None:
        _client(scene).delete(*_QUEUES)


def _cluster(scene: Scene) -> Cluster:
    assert isinstance(scene.form, Cluster)
    return scene.form


def _client(scene: Scene) -> redis.Redis:
    return redis.Redis.from_url(_cluster(scene).redis.url, socket_timeout=5)

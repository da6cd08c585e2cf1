"""Redis as the broker: rings are bounded in time, and nothing that is there stops anybody."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest
import redis

from dicom_node.bell import rings
from dicom_node.bell.redis_broker import RedisRings
from dicom_node.errors import BrokerAway
from tests.support.servers import Redis


@pytest.fixture
def client(redis_server: Redis) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_server.url) as client:
        client.flushall()
        yield client


@pytest.mark.redis
def test_rings_come_out_in_order_and_once(client: redis.Redis, redis_server: Redis) -> None:
    broker = RedisRings(redis_server.url)
    for number in range(3):
        broker.put("infer", number)
    assert broker.waiting("infer") == 3
    assert broker.waiting("deliver") == 0
    found = [broker.take("infer") for _ in range(4)]
    assert [data and rings.ledger_id_of(data, "infer") for data in found] == [0, 1, 2, None]


@pytest.mark.redis
@pytest.mark.parametrize("ask", ["put", "take", "waiting"])
def test_a_key_of_another_type_is_put_aside(
    client: redis.Redis, redis_server: Redis, ask: str
) -> None:
    client.set("infer", "somebody else's")
    broker = RedisRings(redis_server.url)
    assert not getattr(broker, ask)("infer", *([1] if ask == "put" else []))
    assert client.get("infer.not-a-queue") == b"somebody else's"
    broker.put("infer", 7)
    assert broker.waiting("infer") == 1


@pytest.mark.redis
def test_a_connection_from_before_a_restart_is_not_worth_a_word() -> None:
    with Redis() as server:
        broker = RedisRings(server.url)
        broker.put("infer", 1)
        server.kill()
        with pytest.raises(BrokerAway):
            broker.waiting("infer")
        server.start()
        assert broker.waiting("infer") == 0
        server.kill()
        server.start()
        broker.put("infer", 2)


@pytest.mark.redis
def test_a_server_that_hangs_or_refuses_is_away() -> None:
    with Redis() as server:
        broker = RedisRings(server.url)
        server.hang()
        with pytest.raises(BrokerAway, match="Timeout"):
            broker.waiting("infer")
        server.go_on()
        with redis.Redis.from_url(server.url) as client:
            client.replicaof("127.0.0.1", "1")
            with pytest.raises(BrokerAway):
                broker.put("infer", 1)
            client.replicaof("NO", "ONE")
            client.config_set("maxmemory", "1")
            with pytest.raises(BrokerAway):
                broker.put("infer", 1)


@pytest.mark.parametrize(
    "answer", [b"", b"\xff" * 100, b"HTTP/1.1 400 Bad Request\r\n\r\n", b"*99"]
)
def test_whatever_answers_instead_of_redis_is_away(answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            try:
                while True:
                    client, _ = server.accept()
                    with client:
                        client.recv(1000)
                        client.sendall(answer)
            except OSError:
                return

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            broker = RedisRings(f"redis://127.0.0.1:{server.getsockname()[1]}/0")
            with pytest.raises(BrokerAway):
                broker.waiting("infer")
            with pytest.raises(BrokerAway):
                broker.take("infer")
        finally:
            server.shutdown(socket.SHUT_RDWR)
    thread.join()


def test_the_password_is_in_no_name_and_no_message() -> None:
    broker = RedisRings("redis://user:hush@127.0.0.1:9/0?password=hush")
    assert broker.where == "redis://127.0.0.1:9/0"
    with pytest.raises(BrokerAway) as away:
        broker.waiting("infer")
    assert "hush" not in str(away.value)

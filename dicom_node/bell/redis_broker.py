"""Redis or Valkey as the broker: each queue is a list, its rings are the elements."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Final, TypeVar, cast
from urllib.parse import urlsplit, urlunsplit

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from dicom_node.bell.rings import message
from dicom_node.errors import BrokerAway, ConfigError

KINDS: Final = ("redis", "rediss", "unix")
_SECONDS: Final = 1.0
_MOMENT: Final = 0.5
_ASIDE: Final = "not-a-queue"

T = TypeVar("T")


class RedisRings:
    """Rings in Redis; implements `dicom_node.bell.rings.Rings`. Nothing is connected yet.

    Every call ends after a second or two, whatever becomes of the server. A key of another type
    under the name of a queue is renamed.

    Parameters
    ----------
    url : str
        ``redis://``, ``rediss://`` or ``unix://``, with its password.

    Raises
    ------
    ConfigError
        The URL is not one of these; the message does not repeat it.
    """

    def __init__(self, url: str) -> None:
        try:
            self._where = _without_password(url)
            self._client = redis.Redis.from_url(
                url,
                socket_connect_timeout=_SECONDS,
                socket_timeout=_MOMENT + _SECONDS,
                # A connection from before a restart of the server is not worth a word.
                retry=Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,)),
            )
        except ValueError as error:
            raise ConfigError(
                "[broker] url cannot be used; use redis://HOST:PORT/0, or leave it out for the "
                "embedded broker, which needs no server"
            ) from error

    @property
    def where(self) -> str:
        """Its URL, without the password."""
        return self._where

    def put(self, queue: str, ledger_id: int) -> None:
        """Let one ring wait."""
        data = json.dumps(message(queue, ledger_id))
        self._asked(queue, lambda: self._client.lpush(queue, data), 0)

    def take(self, queue: str) -> bytes | None:
        """Take the oldest ring; waits half a second for one."""
        found = self._asked(queue, lambda: self._client.brpop([queue], timeout=_MOMENT), None)
        return None if found is None else cast(bytes, found[1])

    def waiting(self, queue: str) -> int:
        """How many rings of a queue wait."""
        return int(self._asked(queue, lambda: self._client.llen(queue), 0))

    def _asked(self, queue: str, command: Callable[[], T], otherwise: T) -> T:
        try:
            try:
                return command()
            except redis.ResponseError as error:
                if not str(error).startswith("WRONGTYPE"):
                    raise
                self._client.rename(queue, f"{queue}.{_ASIDE}")
                return otherwise
        except Exception as error:
            # Whatever answers at that address, Redis or not, it stops nobody.
            raise BrokerAway(f"{type(error).__name__}: {_said(error)}") from error


def _said(error: Exception) -> str:
    return str(error).partition("\n")[0]


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in KINDS:
        raise ValueError(parts.scheme)
    place = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, place, parts.path, "", ""))

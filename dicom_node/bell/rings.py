"""Rings that wait in a broker, and the form that they have there: Celery messages.

A ring says nothing but "look into the ledger", so whatever lies in a queue of the broker is one.
What Celery is given is made here anew, of nothing that was found.
"""

from __future__ import annotations

import base64
import json
import uuid
from typing import Any, Final, Protocol

MOST_BYTES: Final = 65_536
"""Far more than a ring has; of what is larger no more is read."""

_NO_CALLS: Final = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}


class Rings(Protocol):
    """The rings of a broker, by queue. Any may be lost; several processes put and take."""

    @property
    def where(self) -> str:
        """Where the broker is, without its password."""

    def put(self, queue: str, ledger_id: int) -> None:
        """Let one ring wait.

        Raises
        ------
        BrokerAway
            It cannot be kept.
        """

    def take(self, queue: str) -> bytes | None:
        """Take one that waits, whatever it looks like; None if none does, now or for a moment.

        Raises
        ------
        BrokerAway
            Nobody can say.
        """

    def waiting(self, queue: str) -> int:
        """How many wait.

        Raises
        ------
        BrokerAway
            Nobody can say.
        """


def message(queue: str, ledger_id: int) -> dict[str, Any]:
    """A ring as Celery's message protocol has it, version 2, and as kombu keeps messages."""
    task_id = str(uuid.uuid4())
    return {
        "body": encoded([[ledger_id], {}, _NO_CALLS]),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {
            "lang": "py", "task": queue, "id": task_id, "root_id": task_id, "parent_id": None,
            "group": None, "argsrepr": f"({ledger_id},)", "kwargsrepr": "{}", "retries": 0,
            "timelimit": [None, None], "eta": None, "expires": None, "ignore_result": True,
        },
        "properties": {
            "correlation_id": task_id, "delivery_mode": 2, "priority": 0,
            "delivery_info": {"exchange": "", "routing_key": queue},
            "body_encoding": "base64", "delivery_tag": str(uuid.uuid4()),
        },
    }  # fmt: skip


def encoded(body: Any) -> str:
    """A message's body as kombu keeps it: base64 of JSON."""
    return base64.b64encode(json.dumps(body).encode()).decode()


def ledger_id_of(data: bytes, queue: str) -> int | None:
    """The number that a message for `queue` carries; None for whatever is no ring."""
    if len(data) > MOST_BYTES:
        return None
    try:
        found = json.loads(data)
        if found["headers"]["task"] != queue:
            return None
        ((ledger_id,), *_) = json.loads(base64.b64decode(found["body"], validate=True))
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return ledger_id if type(ledger_id) is int else None

"""Loopback sockets and addresses of application entities."""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass
from typing import Any

from pynetdicom import AE, evt
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

LOOPBACK = "127.0.0.1"
_LAST_PORT = 65535
_PACS = re.compile(r"(?P<host>\[[^\]]+\]|[^:\[\]]+):(?P<port>\d{1,5}):(?P<aet>[!-\[\]-~ ]{1,16})")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where an application entity listens."""

    host: str
    port: int
    ae_title: str

    @classmethod
    def parse(cls, text: str) -> Endpoint:
        """Read ``HOST:PORT:AET``; an IPv6 host stands in brackets.

        Raises
        ------
        ValueError
            If `text` is not of that form.
        """
        found = _PACS.fullmatch(text.strip())
        if not found or not 1 <= int(found["port"]) <= _LAST_PORT:
            raise ValueError(f"{text!r} is not HOST:PORT:AET, as in 10.1.2.9:104:PACS")
        return cls(found["host"].strip("[]"), int(found["port"]), found["aet"].strip())

    def __str__(self) -> str:
        return f"{self.ae_title} at {self.host}:{self.port}"


def free_port() -> int:
    """Return a TCP port that nothing listens on at the moment."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def without_delay(event: Any) -> None:
    """Switch Nagle's algorithm off on the socket of an association, for pynetdicom's handlers.

    With it, a peer that writes header and body of a PDU apart waits 40 ms for each image.
    """
    wrapper = event.assoc.dul.socket
    if wrapper is not None and wrapper.socket is not None:
        wrapper.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def leave_answers(event: Any) -> None:
    """Have an association's own thread take no messages, for pynetdicom's handlers.

    It looks for requests of the peer, which a requestor of C-STORE or C-ECHO gets none of, and on a
    busy machine takes the response that somebody waits for: pynetdicom parks it, and looks whether
    it is parked, but it says so before it is.
    """
    messages = event.assoc.dimse
    take = messages.get_msg
    messages.get_msg = lambda block=False: take(block) if block else (None, None)


def answers(address: Endpoint, calling: str, timeout_s: float = 2.0) -> bool:
    """Whether `address` answers a C-ECHO with 0x0000."""
    entity = AE(calling)
    entity.connection_timeout = entity.acse_timeout = entity.dimse_timeout = timeout_s
    entity.add_requested_context(Verification)
    association = entity.associate(
        address.host, address.port, ae_title=address.ae_title,
        evt_handlers=[(evt.EVT_CONN_OPEN, leave_answers)],
    )  # fmt: skip
    if not association.is_established:
        return False
    try:
        status = association.send_c_echo()
        return "Status" in status and int(status.Status) == 0
    except (RuntimeError, ValueError):
        return False
    finally:
        association.release()

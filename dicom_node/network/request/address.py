"""Where results go, and how long to wait for it."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from typing import Final, Self

_AE_TITLE_LENGTH: Final = 16
_SMALLEST_PDU: Final = 4096
_PORTS: Final = range(1, 65536)


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Longest waits, in seconds; all of them are above zero.

    Attributes
    ----------
    connect
        TCP connection, for each address of the host, and the TLS handshake.
    acse
        Answer to an association request or release.
    dimse
        Response to one C-STORE, from the last byte sent.
    network
        Progress while writing: one block of at most 256 KiB.
    """

    connect: float = 10.0
    acse: float = 30.0
    dimse: float = 60.0
    network: float = 30.0

    def __post_init__(self) -> None:
        if min(self.connect, self.acse, self.dimse, self.network) <= 0:
            raise ValueError("every timeout must be above zero seconds")

    @classmethod
    def all(cls, seconds: float) -> Self:
        """Return the same limit for every wait."""
        return cls(connect=seconds, acse=seconds, dimse=seconds, network=seconds)


@dataclass(frozen=True, slots=True)
class Address:
    """A destination.

    Attributes
    ----------
    name
        Its name in the configuration; used in messages.
    host, port
        Host name or address, and TCP port (1-65535).
    called_ae_title, calling_ae_title
        Its AE title, and ours (1-16 ASCII characters without backslash, PS3.5 Table 6.2-1).
    timeouts
        Longest waits.
    max_pdu
        Largest PDU that we offer to receive, bytes; at least 4,096, or 0 for no limit.
    tls
        How to speak TLS (PS3.15 B); None: plain TCP.
    """

    name: str
    host: str
    port: int
    called_ae_title: str
    calling_ae_title: str
    timeouts: Timeouts = field(default_factory=Timeouts)
    max_pdu: int = 131072
    tls: ssl.SSLContext | None = None

    def __post_init__(self) -> None:
        for title in (self.called_ae_title, self.calling_ae_title):
            legal = title.isascii() and title.isprintable() and "\\" not in title
            if not legal or not title.strip() or len(title) > _AE_TITLE_LENGTH:
                raise ValueError(f"not an AE title: {title!r}")
        if self.port not in _PORTS:
            raise ValueError(f"not a TCP port: {self.port}")
        if self.max_pdu != 0 and self.max_pdu < _SMALLEST_PDU:
            raise ValueError(f"the largest PDU must be 0 or at least {_SMALLEST_PDU} bytes")

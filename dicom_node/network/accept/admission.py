"""Who may associate with the node (PS3.8 Section 9.3.4)."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Final

ANY: Final = "*"
ECHO: Final = "echo"
STORE: Final = "store"

Resolve = Callable[[str], Collection[str]]
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class Peer:
    """A remote application entity that is allowed to talk to the node.

    Attributes
    ----------
    ae_title
        Calling AE title; case counts, spaces around it do not. ``*`` is any.
    host
        An IP address, a network in CIDR notation, a host name, or ``*`` / ``None`` for any.
    may
        ``echo``, ``store``. A peer that may do anything may verify: ``echo`` is always granted.
    """

    ae_title: str
    host: str | None = None
    may: frozenset[str] = frozenset({ECHO, STORE})

    def __post_init__(self) -> None:
        unknown = self.may - {ECHO, STORE}
        if unknown:
            raise ValueError(f"a peer may {ECHO} or {STORE}, not {', '.join(sorted(unknown))}")


@dataclass(frozen=True, slots=True)
class Acceptance:
    """The association is accepted; `may` says what for."""

    may: frozenset[str]


@dataclass(frozen=True, slots=True)
class Rejection:
    """The association is rejected, with the fields of an A-ASSOCIATE-RJ (PS3.8 Table 9-21).

    Attributes
    ----------
    result
        1 permanent, 2 transient.
    source
        1 service user, 2 service provider (ACSE), 3 service provider (presentation).
    diagnostic
        Reason, whose meaning depends on `source`.
    reason
        The same in words, for the log.
    """

    result: int
    source: int
    diagnostic: int
    reason: str


APPLICATION_CONTEXT: Final = Rejection(1, 1, 2, "application context name not supported")
CALLING_UNKNOWN: Final = Rejection(1, 1, 3, "calling AE title not recognised")
CALLED_UNKNOWN: Final = Rejection(1, 1, 7, "called AE title not recognised")
MALFORMED: Final = Rejection(1, 2, 1, "association request malformed")
CONGESTED: Final = Rejection(2, 3, 1, "temporary congestion")
LIMIT_EXCEEDED: Final = Rejection(2, 3, 2, "local limit exceeded")


class Admission:
    """Decides on association requests; keeps no state of its own.

    Parameters
    ----------
    ae_titles
        The node's own AE titles; ``*`` answers to any.
    peers
        Who is allowed. The rights of all entries that match are added up.
    max_associations
        At the same time, over all peers.
    max_per_peer
        At the same time, for one calling AE title at one address.
    accept_any
        Admit callers that no entry matches, for everything.
    resolve
        Host name to IP addresses; an unknown name gives none.

    Raises
    ------
    ValueError
        No AE title of its own, or a limit below one.
    """

    def __init__(
        self,
        *,
        ae_titles: Iterable[str],
        peers: Iterable[Peer] = (),
        max_associations: int = 32,
        max_per_peer: int = 16,
        accept_any: bool = False,
        resolve: Resolve | None = None,
    ) -> None:
        self._own: Final = frozenset(title.strip() for title in ae_titles)
        if not self._own:
            raise ValueError("the node needs an AE title")
        if max_associations < 1 or max_per_peer < 1:
            raise ValueError("a limit on associations must be at least 1")
        self._peers: Final = tuple(peers)
        self._resolve: Final = resolve or _look_up
        self.max_associations: Final = max_associations
        self.max_per_peer: Final = max_per_peer
        self.accept_any: Final = accept_any

    def decide(
        self, calling: str, called: str, address: str, *, total: int, from_peer: int
    ) -> Acceptance | Rejection:
        """Accept or reject one request.

        Parameters
        ----------
        calling, called
            AE titles as sent.
        address
            The caller's IP address.
        total, from_peer
            Associations open now: all, and with this calling AE title at this address.
        """
        if ANY not in self._own and called.strip() not in self._own:
            return CALLED_UNKNOWN
        matching = [peer for peer in self._peers if self._matches(peer, calling.strip(), address)]
        if not matching and not self.accept_any:
            return CALLING_UNKNOWN
        if total >= self.max_associations or from_peer >= self.max_per_peer:
            return LIMIT_EXCEEDED
        if not matching:
            return Acceptance(frozenset({ECHO, STORE}))
        return Acceptance(frozenset({ECHO}).union(*(peer.may for peer in matching)))

    def _matches(self, peer: Peer, calling: str, address: str) -> bool:
        if peer.ae_title.strip() not in (ANY, calling):
            return False
        if peer.host is None or peer.host == ANY:
            return True
        try:
            caller = _address(address)
        except ValueError:
            return False
        try:
            network = ipaddress.ip_network(peer.host, strict=False)
        except ValueError:
            return any(_address(found) == caller for found in self._resolve(peer.host))
        return caller in network


def _address(text: str) -> _Address:
    """Parse; an IPv4 address that a dual-stack socket reports as IPv6 is the IPv4 address."""
    address = ipaddress.ip_address(text.partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    return address if mapped is None else ipaddress.IPv4Address(mapped)


def _look_up(host: str) -> Collection[str]:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return ()
    return {str(entry[4][0]) for entry in found}

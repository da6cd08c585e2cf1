from __future__ import annotations

import pytest

from dicom_node.network.accept.admission import (
    CALLED_UNKNOWN,
    CALLING_UNKNOWN,
    LIMIT_EXCEEDED,
    Acceptance,
    Admission,
    Peer,
    Rejection,
)

ALL = frozenset({"echo", "store"})


def admission(**options: object) -> Admission:
    peers = (
        Peer("CT1", "10.1.2.3", frozenset({"store"})),
        Peer("NET", "10.2.0.0/16"),
        Peer("NAMED", "scanner.example"),
        Peer("ROAMING", "*"),
        Peer("*", "192.168.7.7", frozenset({"echo"})),
        Peer("V6", "2001:db8::/32"),
    )
    defaults: dict[str, object] = {
        "ae_titles": ["DENOISE", "OTHER"],
        "peers": peers,
        "max_associations": 4,
        "max_per_peer": 2,
        "resolve": lambda host: ["10.9.9.9"] if host == "scanner.example" else [],
    }
    return Admission(**(defaults | options))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("calling", "called", "address", "expected"),
    [
        ("CT1", "DENOISE", "10.1.2.3", Acceptance(ALL)),
        (" CT1 ", "DENOISE  ", "10.1.2.3", Acceptance(ALL)),
        ("CT1", "OTHER", "::ffff:10.1.2.3", Acceptance(ALL)),
        ("CT1", "DENOISE", "10.1.2.4", CALLING_UNKNOWN),
        ("ct1", "DENOISE", "10.1.2.3", CALLING_UNKNOWN),
        ("CT1", "denoise", "10.1.2.3", CALLED_UNKNOWN),
        ("CT1", "NOBODY", "10.1.2.3", CALLED_UNKNOWN),
        ("NET", "DENOISE", "10.2.200.1", Acceptance(ALL)),
        ("NET", "DENOISE", "10.3.0.1", CALLING_UNKNOWN),
        ("NAMED", "DENOISE", "10.9.9.9", Acceptance(ALL)),
        ("NAMED", "DENOISE", "10.9.9.8", CALLING_UNKNOWN),
        ("ROAMING", "DENOISE", "203.0.113.9", Acceptance(ALL)),
        ("ANYBODY", "DENOISE", "192.168.7.7", Acceptance(frozenset({"echo"}))),
        ("ROAMING", "DENOISE", "192.168.7.7", Acceptance(ALL)),
        ("V6", "DENOISE", "2001:db8::5", Acceptance(ALL)),
        ("V6", "DENOISE", "fe80::1%eth0", CALLING_UNKNOWN),
        ("CT1", "DENOISE", "not an address", CALLING_UNKNOWN),
        ("STRANGER", "DENOISE", "10.1.2.3", CALLING_UNKNOWN),
    ],
)
def test_who_is_admitted(
    calling: str, called: str, address: str, expected: Acceptance | Rejection
) -> None:
    decision = admission().decide(calling, called, address, total=0, from_peer=0)
    assert decision == expected


@pytest.mark.parametrize(
    ("rejection", "fields"),
    [
        (CALLING_UNKNOWN, (1, 1, 3)),
        (CALLED_UNKNOWN, (1, 1, 7)),
        (LIMIT_EXCEEDED, (2, 3, 2)),
    ],
)
def test_rejections_carry_the_fields_of_ps3_8(
    rejection: Rejection, fields: tuple[int, int, int]
) -> None:
    assert (rejection.result, rejection.source, rejection.diagnostic) == fields


@pytest.mark.parametrize(
    ("total", "from_peer", "admitted"), [(3, 1, True), (4, 0, False), (2, 2, False)]
)
def test_limits(total: int, from_peer: int, admitted: bool) -> None:
    decision = admission().decide("CT1", "DENOISE", "10.1.2.3", total=total, from_peer=from_peer)
    assert decision == (Acceptance(ALL) if admitted else LIMIT_EXCEEDED)


def test_a_stranger_is_told_so_even_when_the_node_is_full() -> None:
    decision = admission().decide("STRANGER", "DENOISE", "1.1.1.1", total=99, from_peer=0)
    assert decision == CALLING_UNKNOWN


def test_accept_any_admits_strangers_within_the_limits() -> None:
    open_node = admission(accept_any=True)
    assert open_node.decide("X", "DENOISE", "1.1.1.1", total=0, from_peer=0) == Acceptance(ALL)
    assert open_node.decide("X", "DENOISE", "1.1.1.1", total=4, from_peer=0) == LIMIT_EXCEEDED
    assert open_node.decide("X", "WRONG", "1.1.1.1", total=0, from_peer=0) == CALLED_UNKNOWN


def test_a_listed_peer_keeps_to_its_rights_when_strangers_are_admitted() -> None:
    decision = admission(accept_any=True).decide(
        "ANYBODY", "DENOISE", "192.168.7.7", total=0, from_peer=0
    )
    assert decision == Acceptance(frozenset({"echo"}))


def test_any_called_title() -> None:
    decision = admission(ae_titles=["*"]).decide("CT1", "X", "10.1.2.3", total=0, from_peer=0)
    assert decision == Acceptance(ALL)


@pytest.mark.parametrize(
    "options", [{"ae_titles": []}, {"max_associations": 0}, {"max_per_peer": 0}]
)
def test_what_makes_no_sense_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"AE title|at least 1"):
        admission(**options)


def test_a_peer_may_not_do_what_does_not_exist() -> None:
    with pytest.raises(ValueError, match="fly"):
        Peer("CT1", may=frozenset({"fly"}))

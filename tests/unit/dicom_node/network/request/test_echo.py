"""What C-ECHO says in plain words of destinations that answer and that do not."""

from __future__ import annotations

import socket

import pytest

from dicom_node.network.request.echo import EchoOutcome, echo
from dicom_node.network.request.scu import Trouble
from dicom_node.settings import DestinationSettings
from tests.support.broken_pacs import Breach, BrokenPacs
from tests.support.pacs import FakePacs
from tests.support.servers import dead_port

CT = "1.2.840.10008.5.1.4.1.1.2"


def ask(
    port: int, *, host: str = "127.0.0.1", seconds: float = 10.0, **settings: object
) -> EchoOutcome:
    there = DestinationSettings(
        name="pacs", ae_title="PACS", host=host, port=port, timeout_seconds=seconds, **settings
    )
    return echo(there, "DENOISE")


def test_a_destination_that_answers() -> None:
    with FakePacs() as pacs:
        found = ask(pacs.port)
        assert pacs.echoes == 1
        assert pacs.associations == 1
    assert found.ok
    assert found.message == f"PACS@127.0.0.1:{pacs.port} answers"


@pytest.mark.parametrize(
    ("rejection", "words"),
    [
        ((1, 1, 1), "permanently: no reason given"),
        ((1, 1, 2), "application context name not supported"),
        ((1, 1, 3), "register our AE title 'DENOISE' at the destination"),
        ((1, 1, 7), "the destination's AE title is not 'PACS'"),
        ((1, 2, 2), "protocol version not supported"),
        ((2, 3, 1), "for now: temporary congestion"),
        ((2, 3, 2), "local limit exceeded"),
    ],
)
def test_a_rejection_says_why_and_what_to_do(rejection: tuple[int, int, int], words: str) -> None:
    with FakePacs(reject=rejection) as pacs:
        found = ask(pacs.port)
    assert found.trouble is Trouble.REJECTED
    assert words in found.message


def test_a_wrong_called_ae_title_is_named() -> None:
    with FakePacs(aet="ARCHIVE", check_called=True) as pacs:
        found = ask(pacs.port)
    assert found.trouble is Trouble.REJECTED
    assert "AE title is not 'PACS'" in found.message


def test_the_calling_ae_title_of_the_destination_counts() -> None:
    with FakePacs(reject=(1, 1, 3)) as pacs:
        assert "'OTHER'" in ask(pacs.port, calling_ae_title="OTHER").message


def test_nothing_listens() -> None:
    found = ask(dead_port())
    assert found.trouble is Trouble.REFUSED
    assert "nothing listens there" in found.message


def test_an_unknown_host() -> None:
    found = ask(104, host="no-such-host.invalid")
    assert found.trouble is Trouble.UNKNOWN_HOST
    assert "cannot be resolved" in found.message


def test_a_port_that_takes_no_more_connections() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
        port = server.getsockname()[1]
        waiting = []
        for _ in range(4):  # more than the backlog: the next ones get no answer
            one = socket.socket()
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
            waiting.append(one)
        found = ask(port, seconds=1.0)
        for one in waiting:
            one.close()
    assert found.trouble is Trouble.TIMEOUT
    assert "firewall" in found.message


def test_a_destination_that_does_not_offer_verification() -> None:
    class WithoutVerification(FakePacs):
        def _on_request(self, event: object) -> None:
            contexts = event.assoc.acceptor.supported_contexts  # type: ignore[attr-defined]
            event.assoc.acceptor.supported_contexts = [  # type: ignore[attr-defined]
                one for one in contexts if one.abstract_syntax == CT
            ]
            super()._on_request(event)

    with WithoutVerification() as pacs:
        found = ask(pacs.port)
    assert found.trouble is Trouble.NO_CONTEXT
    assert "does not offer verification" in found.message


@pytest.mark.parametrize(
    ("breach", "trouble", "words"),
    [
        (Breach.SILENT, Trouble.TIMEOUT, "does not answer in time"),
        (Breach.CLOSES_AT_ONCE, Trouble.FAILED, "is this its DICOM port?"),
        (Breach.GARBAGE, None, ""),
        (Breach.HALF_ACCEPT, None, ""),
        (Breach.HUGE_PDU, None, ""),
        (Breach.ABORTS_REQUEST, Trouble.ABORTED, "aborted the association"),
        (Breach.NEVER_READS, Trouble.TIMEOUT, "did not answer C-ECHO"),
        (Breach.UNKNOWN_PDU, None, ""),
    ],
)
def test_one_that_breaks_the_protocol_is_not_ok(
    breach: Breach, trouble: Trouble | None, words: str
) -> None:
    silent = trouble in {Trouble.TIMEOUT, None}
    with BrokenPacs(breach) as pacs:
        found = ask(pacs.port, seconds=1.0 if silent else 10.0)
    assert not found.ok
    assert trouble is None or found.trouble is trouble
    assert words in found.message
    assert f"PACS@127.0.0.1:{pacs.port}" in found.message

"""Ends in the middle, silence and illegal bytes leave nothing behind."""

from __future__ import annotations

import struct
import threading
import time

import pytest

from tests.support.reception import DATA, Start, nothing_stays, received_data
from tests.support.waiting import eventually
from tests.support.wire import (
    ABORT,
    CT,
    RELEASE_RQ,
    RawPeer,
    RecordingIntake,
    associate_request,
    element,
    left_over,
    message,
    p_data,
    pdv,
    store_request,
)

ENDS = [(where, how) for where in ("command", "data") for how in ("abort", "release")]
ENDS += [(at, how) for at in ("command", "data", "pdu", "header") for how in ("reset", "close")]


@pytest.mark.parametrize(("where", "how"), ENDS)
def test_an_end_in_the_middle_of_an_object_leaves_nothing(
    start: Start, intake: RecordingIntake, how: str, where: str
) -> None:
    request = store_request()
    with RawPeer(start().port) as peer:
        peer.associate()
        if where == "command":
            peer.send(p_data(pdv(request[:20], command=True, last=False)))
        else:
            peer.send(p_data(pdv(request, command=True, last=True)))
            piece = p_data(pdv(DATA[:10_000], command=False, last=False))
            peer.send(piece, piece)
            peer.send({"data": b"", "pdu": piece[:5000], "header": piece[:3]}[where])
        time.sleep(0.05)
        if how == "abort":
            peer.send(ABORT)
        elif how == "release":
            peer.send(RELEASE_RQ)
            peer.receive()
        elif how == "reset":
            peer.reset()
    nothing_stays(intake, "released" if how == "release" else "aborted")


def test_an_abort_after_an_object_keeps_the_object(start: Start, intake: RecordingIntake) -> None:
    with RawPeer(start().port) as peer:
        peer.associate()
        peer.send(message(store_request(), DATA))
        assert peer.status() == 0
        peer.send(ABORT)
        assert peer.closed()
    eventually(lambda: intake.ends == ["aborted"])
    assert received_data(intake) == [DATA]


def test_a_peer_that_leaves_before_its_answer_has_its_object_kept(
    start: Start, intake: RecordingIntake
) -> None:
    intake.gate = threading.Event()
    with RawPeer(start().port) as peer:
        peer.associate()
        peer.send(message(store_request(), DATA))
        assert intake.entered.wait(5)
        peer.reset()
    intake.gate.set()
    eventually(lambda: intake.ends == ["aborted"])
    assert received_data(intake) == [DATA]
    assert intake.calls == ["opened", "stored", "closed"]


def test_silence_between_messages(start: Start, intake: RecordingIntake) -> None:
    with RawPeer(start(idle_timeout=0.4).port) as peer:
        peer.associate()
        peer.send(message(store_request(), DATA))
        assert peer.status() == 0
        assert peer.receive()[0] == 7
    eventually(lambda: intake.ends == ["timeout"])
    assert len(intake.stored) == 1


@pytest.mark.holds(number=13)
def test_silence_before_the_first_message(start: Start, intake: RecordingIntake) -> None:
    with RawPeer(start(idle_timeout=0.4).port) as peer:
        peer.associate()
        assert peer.receive()[0] == 7
    nothing_stays(intake, "timeout")


@pytest.mark.parametrize("inside_pdu", [False, True])
def test_silence_inside_an_object(start: Start, intake: RecordingIntake, inside_pdu: bool) -> None:
    with RawPeer(start(idle_timeout=0.6, dimse_timeout=0.6).port) as peer:
        peer.associate()
        peer.send(message(store_request(), DATA)[: 30_000 if inside_pdu else 0])
        if not inside_pdu:
            peer.send(p_data(pdv(store_request(), command=True, last=True)))
            peer.send(p_data(pdv(DATA[:100], command=False, last=False)))
        assert peer.closed()
    eventually(lambda: intake.ends)
    assert intake.ends[0] in ("timeout", "aborted")
    assert intake.stored == []
    assert left_over(intake.spool) == []


def test_a_long_object_does_not_run_into_the_idle_timeout(
    start: Start, intake: RecordingIntake
) -> None:
    with RawPeer(start(idle_timeout=1.5).port) as peer:
        peer.associate()
        peer.send(p_data(pdv(store_request(), command=True, last=True)))
        for number in range(10):
            time.sleep(0.2)  # together longer than the timeout, each far shorter
            peer.send(p_data(pdv(DATA[:100], command=False, last=number == 9)))
        assert peer.status() == 0
    assert received_data(intake) == [DATA[:100] * 10]


@pytest.mark.holds(number=13)
@pytest.mark.parametrize("sent", [b"", b"\x01\x00\x00", associate_request()[:80]])
def test_a_connection_without_a_request_is_closed(
    start: Start, intake: RecordingIntake, sent: bytes
) -> None:
    server = start(acse_timeout=0.4)
    with RawPeer(server.port) as peer:
        peer.send(sent)
        assert peer.closed()
    eventually(lambda: not server._associations.connections)
    assert intake.calls == []


# --- illegal bytes ------------------------------------------------------------------------------

ILLEGAL_AFTER_ASSOCIATION = {
    "a P-DATA-TF over the maximum length": struct.pack(">BBI", 4, 0, 200_000) + bytes(1000),
    "a P-DATA-TF of four gigabytes": struct.pack(">BBI", 4, 0, 0xFFFFFFFF) + bytes(1000),
    "an empty P-DATA-TF": struct.pack(">BBI", 4, 0, 0),
    "a value longer than its PDU": struct.pack(">BBIIBB", 4, 0, 6, 50, 1, 3),
    "a value without a control header": struct.pack(">BBIIB", 4, 0, 5, 1, 1),
    "an unknown PDU type": struct.pack(">BBI", 99, 0, 4) + bytes(4),
    "an abort of four gigabytes": struct.pack(">BBI", 7, 0, 0xFFFFFFFF),
    "a second association request": associate_request(),
    "a context that was not accepted": message(store_request(), DATA, context=9),
    "data without a command": p_data(pdv(b"data", command=False, last=True)),
    "a command in mid-object": message(store_request(), None) + message(store_request(), None),
    "an unknown command": message(store_request(command=0x0666), None),
    "a command that is none": message(b"nonsense" * 4, None),
    "a store without a message ID": message(store_request(message_id=None), DATA),
    "a command without end": p_data(pdv(element(2, bytes(70_000)), command=True, last=False)),
    "random bytes": bytes(range(50, 150)) * 100,
}


@pytest.mark.parametrize(
    "sent", ILLEGAL_AFTER_ASSOCIATION.values(), ids=ILLEGAL_AFTER_ASSOCIATION.keys()
)
def test_what_is_illegal_ends_the_association_and_nothing_else(
    start: Start, intake: RecordingIntake, sent: bytes
) -> None:
    server = start(dimse_timeout=1.0, idle_timeout=10.0, acse_timeout=1.0)
    with RawPeer(server.port) as neighbour, RawPeer(server.port) as peer:
        neighbour.associate(calling="NEIGHBOUR")
        peer.associate()
        peer.send(sent)
        assert peer.closed()
        eventually(lambda: len(intake.ends) == 1)
        neighbour.send(message(store_request(), DATA))
        assert neighbour.status() == 0
    eventually(lambda: not server._associations.connections)
    assert received_data(intake) == [DATA]
    assert left_over(intake.spool) == []


@pytest.mark.holds(number=13)
@pytest.mark.parametrize(
    "sent",
    [
        struct.pack(">BBI", 1, 0, 0xFFFFFFFF) + bytes(100),
        struct.pack(">BBI", 1, 0, 100) + bytes(100),
        b"GET / HTTP/1.1\r\nHost: node\r\n\r\n",
        RELEASE_RQ,
        message(store_request(), DATA),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(506),
    ],
)
def test_what_is_no_association_request_is_turned_away(
    start: Start, intake: RecordingIntake, sent: bytes
) -> None:
    server = start(acse_timeout=1.0)
    with RawPeer(server.port) as peer:
        peer.send(sent)
        assert peer.closed()
    eventually(lambda: not server._associations.connections)
    assert intake.calls == []


def test_another_service_does_no_harm(start: Start, intake: RecordingIntake) -> None:
    with RawPeer(start().port) as peer:
        peer.associate()
        peer.send(message(store_request(command=0x0020, sop_class=CT), b"query"))
        assert peer.receive()[0] == 7
    eventually(lambda: intake.ends == ["aborted"])
    assert intake.stored == []
    assert left_over(intake.spool) == []

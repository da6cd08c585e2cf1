"""Objects arrive as they were sent, however they come."""

from __future__ import annotations

import socket
import threading

import pytest
from pydicom import dcmread

from tests.support.reception import DATA, Start, received_data
from tests.support.waiting import eventually
from tests.support.wire import (
    CT,
    ECHO,
    IMPLICIT,
    RELEASE_RQ,
    RawPeer,
    RecordingIntake,
    echo_request,
    left_over,
    message,
    store_request,
)


def test_one_association_with_many_objects(start: Start, intake: RecordingIntake) -> None:
    with RawPeer(start().port) as peer:
        peer.associate()
        for number in range(5):
            peer.send(message(store_request(instance=f"1.2.{number}"), DATA[number:]))
            assert peer.status() == 0x0000
        assert intake.ends == []
        peer.send(RELEASE_RQ)
        assert peer.receive()[0] == 6
    eventually(lambda: intake.ends)
    assert intake.calls == ["opened", *["stored"] * 5, "closed"]
    assert intake.ends == ["released"]
    assert received_data(intake) == [DATA[number:] for number in range(5)]
    assert left_over(intake.spool) == []


def test_the_release_is_reported_when_the_peer_has_its_answer(
    start: Start, intake: RecordingIntake
) -> None:
    with RawPeer(start().port) as peer:
        peer.associate()
        peer.send(RELEASE_RQ)
        assert peer.receive()[0] == 6
        eventually(lambda: intake.ends == ["released"])


def test_the_caller_is_known(start: Start, intake: RecordingIntake) -> None:
    with RawPeer(start().port) as peer:
        peer.associate(calling=" CT ONE")
        peer.send(message(store_request(), DATA))
        assert peer.status() == 0
    received, path = intake.stored[0]
    assert received.caller == intake.callers[0]
    assert received.caller.calling_ae_title == "CT ONE"
    assert received.caller.called_ae_title == "DENOISE"
    assert received.caller.address == "127.0.0.1"
    assert len(received.caller.association_id) == 32
    meta = dcmread(path, force=True, stop_before_pixels=True).file_meta
    assert meta.TransferSyntaxUID == IMPLICIT
    assert meta.SourceApplicationEntityTitle == "CT ONE"


def test_echo_between_objects(start: Start, intake: RecordingIntake) -> None:
    with RawPeer(start().port) as peer:
        peer.associate(contexts=((1, CT, (IMPLICIT,)), (3, ECHO, (IMPLICIT,))))
        for number in range(3):
            peer.send(message(store_request(instance=f"1.2.{number}"), DATA))
            assert peer.status() == 0
            peer.send(message(echo_request(number), None, context=3))
            answer = peer.response()
            assert answer[0x0100] == b"\x30\x80"
            assert answer[0x0900] == b"\x00\x00"
    assert len(intake.stored) == 3


def test_four_associations_at_once(start: Start, intake: RecordingIntake) -> None:
    port = start().port

    def send(first: int) -> None:
        with RawPeer(port) as peer:
            peer.associate()
            for number in range(first, first + 5):
                peer.send(message(store_request(instance=f"1.2.{number}"), DATA))
                assert peer.status() == 0
            peer.send(RELEASE_RQ)
            peer.receive()

    threads = [threading.Thread(target=send, args=(100 * i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    eventually(lambda: len(intake.ends) == 4)
    assert intake.ends == ["released"] * 4
    assert {received.sop_instance_uid for received, _ in intake.stored} == {
        f"1.2.{100 * i + n}" for i in range(4) for n in range(5)
    }
    assert set(received_data(intake)) == {DATA}


@pytest.mark.parametrize("size", [1, 65_536, 131_072 - 6])
def test_fragments_of_any_size(start: Start, intake: RecordingIntake, size: int) -> None:
    data = DATA[:3000] if size == 1 else DATA * 4
    with RawPeer(start().port) as peer:
        peer.associate()
        peer.send(message(store_request(), data, chunk=size))
        assert peer.status() == 0
    assert received_data(intake) == [data]


def test_bytes_that_trickle_in(start: Start, intake: RecordingIntake) -> None:
    with RawPeer(start().port) as peer:
        peer.associate()
        peer.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in message(store_request(), DATA[:200], chunk=37):
            peer.send(bytes([byte]))
        assert peer.status() == 0
    assert received_data(intake) == [DATA[:200]]


def test_a_peer_with_a_tiny_maximum_length_gets_its_answer(
    start: Start, intake: RecordingIntake
) -> None:
    with RawPeer(start().port) as peer:
        peer.associate(max_length=80)
        peer.send(message(store_request(), DATA))
        assert peer.status() == 0
    assert received_data(intake) == [DATA]

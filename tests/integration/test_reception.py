"""The receiving side with real peers: DCMTK, pynetdicom, and sockets that misbehave."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.errors import InvalidDicomError
from pydicom.uid import UID
from pynetdicom import AE, Association, build_role
from pynetdicom.pdu_primitives import UserIdentityNegotiation

from dicom_node.errors import ConfigError, LedgerError
from dicom_node.network.accept.admission import Admission, Peer
from dicom_node.network.accept.association import Reader
from dicom_node.network.accept.server import Server
from dicom_node.spool.storage import Storage
from tests.support.factories.dicom import ct_slice, write
from tests.support.waiting import eventually
from tests.support.wire import (
    ABORT,
    CT,
    ECHO,
    EXPLICIT,
    IMPLICIT,
    RELEASE_RQ,
    RawPeer,
    RecordingIntake,
    associate_request,
    data_set_of,
    echo_request,
    element,
    left_over,
    message,
    p_data,
    pdv,
    store_request,
)

MPEG4 = "1.2.840.10008.1.2.4.102"
HTJ2K = "1.2.840.10008.1.2.4.201"
JPEG = "1.2.840.10008.1.2.4.50"
DATA = bytes(range(256)) * 300
needs_dcmtk = pytest.mark.dcmtk

Start = Callable[..., Server]


@pytest.fixture(params=["inline", "stock"])
def reader(request: pytest.FixtureRequest) -> Reader:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def intake(tmp_path: Path) -> RecordingIntake:
    return RecordingIntake(Storage(tmp_path / "spool"))


@pytest.fixture
def start(reader: Reader, intake: RecordingIntake) -> Iterator[Start]:
    servers = []

    def start_server(admission: Admission | None = None, **options: Any) -> Server:
        server = Server(
            "DENOISE",
            "127.0.0.1",
            0,
            admission or Admission(ae_titles=["DENOISE"], accept_any=True),
            intake,
            intake.storage,
            **({"reader": reader} | options),
        )
        server.start()
        servers.append(server)
        return server

    yield start_server
    for server in servers:
        server.stop(grace_seconds=0)


def nothing_stays(intake: RecordingIntake, end: str = "aborted") -> None:
    """Nothing stored, nothing left in the spool, and the end reported."""
    eventually(lambda: intake.ends)
    assert intake.ends == [end]
    assert intake.stored == []
    assert left_over(intake.storage) == []


def received_data(intake: RecordingIntake) -> list[bytes]:
    return [data_set_of(path.read_bytes()) for _, path in intake.stored]


# --- the ordinary way ---------------------------------------------------------------------------


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
    assert left_over(intake.storage) == []


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


# --- negotiation --------------------------------------------------------------------------------


def associated(server: Server, ae: AE, **options: Any) -> Association:
    return ae.associate("127.0.0.1", server.port, ae_title="DENOISE", **options)


def test_each_context_gets_the_peers_best_syntax(start: Start, intake: RecordingIntake) -> None:
    ae = AE()
    ae.add_requested_context(CT, [EXPLICIT, IMPLICIT])
    ae.add_requested_context("1.2.840.10008.5.1.4.1.1.7", [JPEG, IMPLICIT])
    ae.add_requested_context("1.2.840.10008.5.1.4.1.1.77.1.4.1", [MPEG4])
    ae.add_requested_context("1.2.840.113619.4.26", ["1.2.840.113619.5.2"])
    ae.add_requested_context("1.2.840.10008.5.1.4.31", [IMPLICIT])
    ae.add_requested_context(ECHO, [EXPLICIT, IMPLICIT])
    association = associated(start(), ae)
    accepted = {c.abstract_syntax: c.transfer_syntax[0] for c in association.accepted_contexts}
    association.release()
    assert accepted == {
        CT: EXPLICIT,
        "1.2.840.10008.5.1.4.1.1.7": IMPLICIT,
        "1.2.840.10008.5.1.4.1.1.77.1.4.1": MPEG4,
        "1.2.840.113619.4.26": "1.2.840.113619.5.2",
        ECHO: EXPLICIT,
    }
    assert [c.abstract_syntax for c in association.rejected_contexts] == ["1.2.840.10008.5.1.4.31"]


@pytest.mark.parametrize("syntax", ["1.2\0.3", "../../x", "1.2 ; DROP"])
def test_a_transfer_syntax_that_is_no_uid_is_not_accepted(
    start: Start, intake: RecordingIntake, syntax: str
) -> None:
    with RawPeer(start().port) as peer:
        peer.associate(contexts=[(1, CT, (syntax,)), (3, CT, (syntax, EXPLICIT))])
        peer.send(message(store_request(), DATA, context=3))
        assert peer.status() == 0
        peer.send(message(store_request(instance="1.2.9"), DATA, context=1))
        assert peer.closed()
    assert [received.transfer_syntax_uid for received, _ in intake.stored] == [EXPLICIT]


def test_one_class_in_many_contexts_keeps_the_syntax_of_each(
    start: Start, intake: RecordingIntake
) -> None:
    syntaxes = {1: IMPLICIT, 3: EXPLICIT, 5: JPEG, 7: HTJ2K, 9: EXPLICIT}
    with RawPeer(start().port) as peer:
        peer.associate(contexts=[(number, CT, (one,)) for number, one in syntaxes.items()])
        for number in syntaxes:
            peer.send(message(store_request(instance=f"1.2.{number}"), DATA, context=number))
            assert peer.status() == 0
    assert [received.transfer_syntax_uid for received, _ in intake.stored] == [*syntaxes.values()]


def test_all_128_contexts_of_a_storescu(start: Start, intake: RecordingIntake) -> None:
    contexts = [(2 * i + 1, f"1.2.840.10008.5.1.4.1.1.{i + 1000}", (IMPLICIT,)) for i in range(128)]
    with RawPeer(start().port) as peer:
        peer.send(associate_request(contexts))
        kind, body = peer.receive()
        assert kind == 2
        assert body.count(IMPLICIT.encode()) == 128
        sop_class = contexts[-1][1]
        peer.send(message(store_request(sop_class=sop_class), DATA, context=255))
        assert peer.status() == 0
    assert intake.stored[0][0].sop_class_uid == sop_class


@pytest.mark.parametrize("roles", [(True, False), (True, True), (False, True)])
def test_role_selection_does_not_hinder(
    start: Start, intake: RecordingIntake, roles: tuple[bool, bool]
) -> None:
    ae = AE()
    ae.add_requested_context(CT, IMPLICIT)
    role = build_role(CT, scu_role=roles[0], scp_role=roles[1])
    association = associated(start(), ae, ext_neg=[role])
    assert association.is_established
    assert len(association.accepted_contexts) == 1
    association.release()


def test_user_identity_is_read_over(start: Start, intake: RecordingIntake) -> None:
    identity = UserIdentityNegotiation()
    identity.user_identity_type = 2
    identity.primary_field = b"user"
    identity.secondary_field = b"word"
    identity.positive_response_requested = True
    ae = AE()
    ae.add_requested_context(CT, IMPLICIT)
    association = associated(start(), ae, ext_neg=[identity])
    assert association.is_established
    association.release()


def test_asynchronous_operations_are_not_granted(start: Start, intake: RecordingIntake) -> None:
    window = struct.pack(">BBHHH", 0x53, 0, 4, 0, 0)
    with RawPeer(start().port) as peer:
        peer.associate(extra=window)
        peer.send(message(store_request(), DATA))
        assert peer.status() == 0


# --- admission ----------------------------------------------------------------------------------


def only(*peers: Peer, **options: Any) -> Admission:
    return Admission(ae_titles=["DENOISE"], peers=peers, **options)


@pytest.mark.parametrize(
    ("options", "fields"),
    [
        ({"called": "OTHER"}, (1, 1, 7)),
        ({"calling": "STRANGER"}, (1, 1, 3)),
        ({"calling": "FAR"}, (1, 1, 3)),
        ({"application": "1.2.3"}, (1, 1, 2)),
        ({"contexts": ((1, CT, ()),)}, (1, 2, 1)),
    ],
)
def test_rejections(
    start: Start,
    intake: RecordingIntake,
    options: dict[str, Any],
    fields: tuple[int, int, int],
) -> None:
    server = start(only(Peer("SCANNER", "127.0.0.0/8"), Peer("FAR", "10.1.2.3")))
    with RawPeer(server.port) as peer:
        peer.send(associate_request(**options))
        kind, body = peer.receive()
        assert kind == 3
        assert tuple(body[1:4]) == fields
        assert peer.closed()
    assert intake.calls == []
    eventually(lambda: server.associations == 0)


def test_more_associations_than_allowed(start: Start, intake: RecordingIntake) -> None:
    server = start(only(Peer("*"), max_associations=2, max_per_peer=1))
    with RawPeer(server.port) as one, RawPeer(server.port) as two, RawPeer(server.port) as three:
        one.associate(calling="A")
        two.send(associate_request(calling="A"))
        kind, body = two.receive()
        assert (kind, tuple(body[1:4])) == (3, (2, 3, 2))
        three.associate(calling="B")
        with RawPeer(server.port) as four:
            four.send(associate_request(calling="C"))
            assert four.receive()[0] == 3
        one.send(RELEASE_RQ)
        assert one.receive()[0] == 6
    eventually(lambda: server.associations == 0)
    with RawPeer(server.port) as again:
        again.associate(calling="A")


def test_an_intake_that_cannot_open_is_temporary_congestion(
    start: Start, intake: RecordingIntake
) -> None:
    intake.refuse_opening = LedgerError("the ledger does not answer")
    with RawPeer(start().port) as peer:
        peer.send(associate_request())
        kind, body = peer.receive()
        assert (kind, tuple(body[1:4])) == (3, (2, 3, 1))
    intake.refuse_opening = None
    assert intake.calls == []


def test_who_may_only_echo_gets_no_storage_context(start: Start, intake: RecordingIntake) -> None:
    ae = AE("TESTER")
    ae.add_requested_context(CT, IMPLICIT)
    ae.add_requested_context(ECHO, IMPLICIT)
    association = associated(start(only(Peer("TESTER", may=frozenset({"echo"})))), ae)
    assert [c.abstract_syntax for c in association.accepted_contexts] == [ECHO]
    assert association.send_c_echo().Status == 0
    association.release()


# --- refusals that leave the association alive --------------------------------------------------


def test_no_space(start: Start, intake: RecordingIntake) -> None:
    with RawPeer(start().port) as peer:
        peer.associate()
        intake.space = False
        peer.send(message(store_request(), DATA))
        answer = peer.response()
        assert answer[0x0900] == b"\x00\xa7"
        assert b"space" in answer[0x0902]
        intake.space = True
        peer.send(message(store_request(), DATA))
        assert peer.status() == 0
    assert received_data(intake) == [DATA]


def test_an_object_over_the_limit(start: Start, intake: RecordingIntake) -> None:
    with RawPeer(start(max_object_bytes=50_000).port) as peer:
        peer.associate()
        peer.send(message(store_request(), DATA))
        assert peer.status() == 0xA701
        peer.send(message(store_request(), DATA[:50_000]))
        assert peer.status() == 0
    assert received_data(intake) == [DATA[:50_000]]
    assert left_over(intake.storage) == []


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
@pytest.mark.parametrize(
    ("options", "data", "status"),
    [
        ({"instance": None}, DATA, 0x0117),
        ({"instance": "../../etc"}, DATA, 0x0117),
        ({"sop_class": None}, DATA, 0x0122),
        ({"sop_class": "1.2.840.10008.5.1.4.31"}, DATA, 0x0122),
        ({"data_set": False}, None, 0xC000),
        ({}, b"", 0xC000),
    ],
)
def test_requests_that_are_refused(
    start: Start,
    intake: RecordingIntake,
    options: dict[str, Any],
    data: bytes | None,
    status: int,
) -> None:
    with RawPeer(start().port) as peer:
        peer.associate()
        peer.send(message(store_request(**options), data))
        assert peer.status() == status
        peer.send(message(store_request(instance="1.2.8"), DATA))
        assert peer.status() == 0
    assert [received.sop_instance_uid for received, _ in intake.stored] == ["1.2.8"]
    assert left_over(intake.storage) == []


@pytest.mark.holds(number=1)
def test_a_failing_intake_is_a_failure_status_and_the_next_object_is_taken(
    start: Start, intake: RecordingIntake
) -> None:
    with RawPeer(start().port) as peer:
        peer.associate()
        intake.error = LedgerError("no database")
        peer.send(message(store_request(), DATA))
        assert peer.status() == 0xA700
        intake.error = None
        intake.status = 0x0124
        peer.send(message(store_request(), DATA))
        assert peer.status() == 0x0124
        intake.status = 0x0000
        peer.send(message(store_request(), DATA))
        assert peer.status() == 0x0000
    assert len(intake.stored) == 1
    assert left_over(intake.storage) == []


# --- ends in the middle -------------------------------------------------------------------------


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
    assert left_over(intake.storage) == []


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
    eventually(lambda: not server._registry.connections)
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
    eventually(lambda: not server._registry.connections)
    assert received_data(intake) == [DATA]
    assert left_over(intake.storage) == []


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
    eventually(lambda: not server._registry.connections)
    assert intake.calls == []


def test_another_service_does_no_harm(start: Start, intake: RecordingIntake) -> None:
    with RawPeer(start().port) as peer:
        peer.associate()
        peer.send(message(store_request(command=0x0020, sop_class=CT), b"query"))
        assert peer.receive()[0] == 7
    eventually(lambda: intake.ends == ["aborted"])
    assert intake.stored == []
    assert left_over(intake.storage) == []


# --- stopping -----------------------------------------------------------------------------------


def test_stop_waits_for_the_object_in_hand(start: Start, intake: RecordingIntake) -> None:
    intake.gate = threading.Event()
    server = start()
    with RawPeer(server.port) as busy, RawPeer(server.port) as idle:
        busy.associate(calling="BUSY")
        idle.associate(calling="IDLE")
        busy.send(message(store_request(), DATA))
        assert intake.entered.wait(5)
        stopping = threading.Thread(target=server.stop, args=(10,))
        stopping.start()
        assert idle.receive()[0] == 7
        assert stopping.is_alive()
        intake.gate.set()
        assert busy.status() == 0
        assert busy.receive()[0] == 7
        stopping.join(5)
        assert not stopping.is_alive()
    assert received_data(intake) == [DATA]
    assert intake.ends == ["shutdown", "shutdown"]


def test_stop_aborts_what_takes_longer_than_the_grace(
    start: Start, intake: RecordingIntake
) -> None:
    server = start()
    with RawPeer(server.port) as peer:
        peer.associate()
        peer.send(message(store_request(), DATA)[:40_000])
        time.sleep(0.2)
        begun = time.monotonic()
        server.stop(grace_seconds=0.3)
        assert time.monotonic() - begun < 5
        assert peer.closed()
    nothing_stays(intake, "shutdown")


@pytest.mark.parametrize("stays", [False, True])
def test_stop_does_not_wait_for_who_connects_and_asks_for_nothing(
    start: Start, intake: RecordingIntake, stays: bool
) -> None:
    server = start(acse_timeout=30.0)
    with ExitStack() as connected:
        connected.enter_context(RawPeer(server.port))
        eventually(lambda: len(server._registry.connections) == 1)
        if not stays:
            connected.close()
            eventually(lambda: not server._registry.connections)
        begun = time.monotonic()
        server.stop(grace_seconds=20)
        assert time.monotonic() - begun < 5
    assert intake.calls == []


def test_a_stopped_server_listens_no_more_and_stops_again(
    start: Start, intake: RecordingIntake
) -> None:
    server = start()
    port = server.port
    server.stop()
    server.stop()
    with pytest.raises(ConnectionRefusedError):
        RawPeer(port)


def test_a_port_in_use_is_a_clear_error(start: Start, intake: RecordingIntake) -> None:
    taken = start().port
    other = Server(
        "DENOISE",
        "127.0.0.1",
        taken,
        Admission(ae_titles=["DENOISE"]),
        intake,
        intake.storage,
    )
    with pytest.raises(ConfigError, match=str(taken)):
        other.start()


@pytest.mark.parametrize(
    "options", [{"max_pdu": 0}, {"max_pdu": 100}, {"idle_timeout": 0}, {"max_object_bytes": -1}]
)
def test_limits_out_of_range(intake: RecordingIntake, options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Server(
            "DENOISE",
            "",
            0,
            Admission(ae_titles=["X"]),
            intake,
            intake.storage,
            **options,
        )


# --- TLS ----------------------------------------------------------------------------------------


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed")
    key, pem = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-keyout", key, "-out", pem, "-days", "2", "-subj", "/CN=localhost"),
        ],
        check=True,
        capture_output=True,
    )
    return key, pem


def test_tls(start: Start, intake: RecordingIntake, certificate: tuple[Path, Path]) -> None:
    key, pem = certificate
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, key)
    server = start(tls=context, acse_timeout=1.0)
    trusting = ssl.create_default_context(cafile=str(pem))
    trusting.check_hostname = False
    with RawPeer(server.port) as plain, RawPeer(server.port) as peer:
        peer.socket = trusting.wrap_socket(peer.socket)
        peer.associate()
        for number in range(3):
            peer.send(message(store_request(instance=f"1.2.{number}"), DATA))
            assert peer.status() == 0
        peer.send(RELEASE_RQ)
        assert peer.receive()[0] == 6
        plain.send(associate_request())
        plain.receive()  # a TLS alert, or nothing
    eventually(lambda: intake.ends == ["released"])
    assert received_data(intake) == [DATA] * 3


# --- other programs -----------------------------------------------------------------------------


def dcmtk(program: str, options: list[str], server: Server, *files: Path) -> str:
    done = subprocess.run(
        [program, "-aec", "DENOISE", *options, "127.0.0.1", str(server.port), *files],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "TCP_NODELAY": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


class TestDcmtk:
    pytestmark = needs_dcmtk

    def test_echoscu(self, start: Start, intake: RecordingIntake) -> None:
        server = start()
        subprocess.run(
            ["echoscu", "-aec", "DENOISE", "--repeat", "5", "127.0.0.1", str(server.port)],
            check=True,
            timeout=30,
        )
        eventually(lambda: intake.ends == ["released"])

    @pytest.mark.parametrize(
        ("option", "syntax"),
        [("-xi", IMPLICIT), ("-xe", EXPLICIT), ("-xb", "1.2.840.10008.1.2.2")],
    )
    def test_storescu(
        self,
        start: Start,
        intake: RecordingIntake,
        tmp_path: Path,
        option: str,
        syntax: str,
    ) -> None:
        paths = [
            write(ct_slice(seed=n, transfer_syntax=syntax), tmp_path / f"{n}.dcm") for n in range(3)
        ]
        folder = tmp_path / "study"
        folder.mkdir()
        for path in paths:
            path.rename(folder / path.name)
        server = start()
        dcmtk("storescu", [option, "+sd"], server, folder)
        eventually(lambda: intake.ends == ["released"])
        assert {received.transfer_syntax_uid for received, _ in intake.stored} == {syntax}
        sent = {
            str(dcmread(path).SOPInstanceUID): data_set_of(path.read_bytes())
            for path in folder.iterdir()
        }
        got = {
            received.sop_instance_uid: data_set_of(path.read_bytes())
            for received, path in intake.stored
        }
        assert got == sent


def odd_files(shared_data: Path) -> list[Path]:
    """One real file of each transfer syntax."""
    found: dict[str, Path] = {}
    for path in sorted((shared_data / "odd").rglob("*")):
        if not path.is_file():
            continue
        try:
            meta = dcmread(path, specific_tags=["SOPInstanceUID"], stop_before_pixels=True)
            UID(meta.SOPInstanceUID)
            syntax = str(meta.file_meta.TransferSyntaxUID)
            sop_class = meta.file_meta.get("MediaStorageSOPClassUID")
        except (InvalidDicomError, AttributeError, OSError, ValueError):
            continue
        if sop_class and path.stat().st_size < 4_000_000:
            found.setdefault(syntax, path)
    return list(found.values())


@pytest.mark.filterwarnings("ignore")
def test_real_objects_of_every_transfer_syntax_arrive_byte_for_byte(
    start: Start, intake: RecordingIntake, shared_data: Path
) -> None:
    files = odd_files(shared_data)
    assert len(files) > 10
    sent = []
    with RawPeer(start().port) as peer:
        metas = [dcmread(path, stop_before_pixels=True).file_meta for path in files]
        contexts = [
            (2 * i + 1, str(meta.MediaStorageSOPClassUID), (str(meta.TransferSyntaxUID),))
            for i, meta in enumerate(metas)
        ]
        peer.associate(contexts=contexts)
        for i, (path, meta) in enumerate(zip(files, metas, strict=True)):
            data = data_set_of(path.read_bytes())
            request = store_request(
                sop_class=str(meta.MediaStorageSOPClassUID), instance=f"1.2.3.{i}"
            )
            peer.send(message(request, data, context=2 * i + 1))
            assert peer.status() == 0
            sent.append(data)
    assert received_data(intake) == sent
    assert [r.transfer_syntax_uid for r, _ in intake.stored] == [
        str(meta.TransferSyntaxUID) for meta in metas
    ]

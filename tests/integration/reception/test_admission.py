"""Who is let in, and which objects are refused while the association goes on."""

from __future__ import annotations

from typing import Any

import pytest
from pynetdicom import AE
from structlog.testing import capture_logs

from dicom_node.errors import LedgerError
from dicom_node.network.accept.admission import Peer
from tests.support.reception import DATA, Start, associated, only, received_data
from tests.support.waiting import eventually
from tests.support.wire import (
    CT,
    ECHO,
    IMPLICIT,
    RELEASE_RQ,
    RawPeer,
    RecordingIntake,
    associate_request,
    left_over,
    message,
    store_request,
)


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
    assert left_over(intake.spool) == []


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
    assert left_over(intake.spool) == []


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
    assert left_over(intake.spool) == []


def test_the_nodes_own_check_is_no_stranger_in_the_log(start: Start) -> None:
    """``dicom-node check`` asks whether anybody listens; that it is rejected alarms nobody."""
    server = start(only(Peer("SCANNER")))
    with capture_logs() as lines:
        for calling in ("DENOISE", "STRANGER"):
            with RawPeer(server.port) as peer:
                peer.send(associate_request(calling=calling))
                assert peer.receive()[0] == 3
    levels = {
        line["calling"]: line["log_level"]
        for line in lines
        if line["event"] == "association.rejected"
    }
    assert levels == {"DENOISE": "debug", "STRANGER": "warning"}

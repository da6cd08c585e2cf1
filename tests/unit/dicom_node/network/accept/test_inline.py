from __future__ import annotations

import hashlib
import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dicom_node.network.accept.inline import IllegalPdu, MessageAssembler
from dicom_node.network.accept.ports import Caller
from dicom_node.network.accept.receiver import StoreReceiver
from dicom_node.spool.spool import Spool
from tests.support.wire import (
    CT,
    EXPLICIT,
    IMPLICIT,
    RecordingIntake,
    cut,
    data_set_of,
    echo_request,
    element,
    elements,
    left_over,
    pdv,
    store_request,
)

RELAXED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
CALLER = Caller("a" * 32, "CT1", "DENOISE", "10.1.2.3")


class Wire:
    """An assembler between a peer that is a list of bytes and an intake that keeps everything."""

    def __init__(self, spool: Spool, incomplete: int = 0) -> None:
        self.intake = RecordingIntake(spool)
        self.sent: list[bytes] = []
        self.handed: list[tuple[int, bytes]] = []
        self.receiver = StoreReceiver(spool, self.intake, CALLER, 0)
        self._incomplete = incomplete
        self.assembler = MessageAssembler(
            receiver=self.receiver,
            transfer_syntaxes={1: IMPLICIT, 3: EXPLICIT},
            send=self.sent.append,
            hand_over=self._hand_over,
            peer_max_length=0,
        )

    def _hand_over(self, context_id: int, value: bytes) -> bool:
        self.handed.append((context_id, value))
        self._incomplete -= 1
        return self._incomplete >= 0

    def take(self, *values: bytes) -> None:
        self.assembler.take(memoryview(b"".join(values)))

    @property
    def statuses(self) -> list[int]:
        return [int.from_bytes(elements(pdu[12:])[0x0900], "little") for pdu in self.sent]


@pytest.fixture(scope="module")
def shared_spool(tmp_path_factory: pytest.TempPathFactory) -> Spool:
    return Spool(tmp_path_factory.mktemp("spool"))


@pytest.fixture
def spool(shared_spool: Spool) -> Spool:
    shared_spool.sweep_incoming()
    return shared_spool


@pytest.fixture
def wire(spool: Spool) -> Wire:
    return Wire(spool)


def command(**options: object) -> bytes:
    return pdv(store_request(**options), command=True, last=True)  # type: ignore[arg-type]


def test_command_and_data_in_one_pdu(wire: Wire) -> None:
    wire.take(command(), pdv(b"data", command=False, last=True))
    assert wire.statuses == [0x0000]
    assert data_set_of(wire.intake.stored[0][1].read_bytes()) == b"data"
    assert not wire.assembler.busy


def test_two_messages_in_one_pdu(wire: Wire) -> None:
    one = command(), pdv(b"one", command=False, last=True)
    two = command(instance="1.2.9"), pdv(b"two", command=False, last=True)
    wire.take(*one, *two)
    assert wire.statuses == [0, 0]
    assert [received.sop_instance_uid for received, _ in wire.intake.stored] == ["1.2.3.4", "1.2.9"]


def test_an_empty_last_fragment_ends_the_object(wire: Wire) -> None:
    wire.take(command())
    wire.take(pdv(b"data", command=False, last=False))
    assert wire.assembler.busy
    wire.take(pdv(b"", command=False, last=True))
    assert wire.statuses == [0]


@settings(RELAXED, max_examples=40)
@given(
    objects=st.lists(st.binary(min_size=1, max_size=400), min_size=1, max_size=3),
    context=st.sampled_from([1, 3]),
    draw=st.data(),
)
def test_however_a_message_is_cut_the_same_object_arrives(
    spool: Spool, objects: list[bytes], context: int, draw: st.DataObject
) -> None:
    values = []
    for number, data in enumerate(objects):
        request = store_request(instance=f"1.2.{number}")
        for whole, is_command in ((request, True), (data, False)):
            places = draw.draw(st.lists(st.integers(0, len(whole)), max_size=6))
            pieces = cut(whole, places)
            values += [
                pdv(piece, command=is_command, last=i == len(pieces) - 1, context=context)
                for i, piece in enumerate(pieces)
            ]
    ends = draw.draw(st.lists(st.integers(1, len(values)), max_size=8))
    wire = Wire(spool)
    for pdu in cut(values, ends):
        if pdu:
            wire.take(*pdu)
    assert wire.statuses == [0] * len(objects)
    syntax = {1: IMPLICIT, 3: EXPLICIT}[context]
    for data, (received, path) in zip(objects, wire.intake.stored, strict=True):
        assert data_set_of(path.read_bytes()) == data
        assert received.sha256 == hashlib.sha256(syntax.encode() + b"\0" + data).hexdigest()
        assert received.transfer_syntax_uid == syntax
    assert left_over(spool) == []


@settings(RELAXED, max_examples=200)
@given(st.binary(max_size=120))
def test_no_bytes_break_the_assembler(spool: Spool, payload: bytes) -> None:
    wire = Wire(spool)
    try:
        wire.assembler.take(memoryview(payload))
    except IllegalPdu:
        pass
    finally:
        wire.receiver.discard()
    assert wire.intake.stored == []
    assert left_over(spool) == []


ILLEGAL = {
    "nothing in the PDU": [b""],
    "a header cut off": [b"\0\0\0"],
    "no control header": [struct.pack(">IB", 1, 1) + b"\0"],
    "a value longer than the PDU": [struct.pack(">IBB", 100, 1, 3) + b"short"],
    "a value of four gigabytes": [struct.pack(">IBB", 0xFFFFFFFF, 1, 3)],
    "data without a command": [pdv(b"data", command=False, last=True)],
    "a context that was not accepted": [pdv(store_request(), command=True, last=True, context=5)],
    "another context in mid-message": [
        command(),
        pdv(b"data", command=False, last=True, context=3),
    ],
    "another context in mid-command": [
        pdv(store_request()[:20], command=True, last=False),
        pdv(store_request()[20:], command=True, last=True, context=3),
    ],
    "a command in mid-object": [command(), command()],
    "a command that is none": [pdv(b"nonsense", command=True, last=True)],
    "an unknown command": [pdv(store_request(command=0x0666), command=True, last=True)],
    "no message ID": [command(message_id=None)],
    "a command without end": [
        pdv(element(0x0002, bytes(70_000)), command=True, last=False),
    ],
}


@pytest.mark.parametrize("values", ILLEGAL.values(), ids=ILLEGAL.keys())
def test_what_is_illegal_is_refused_and_stores_nothing(
    wire: Wire, spool: Spool, values: list[bytes]
) -> None:
    *before, last = values
    for value in before:
        wire.take(value)
    with pytest.raises(IllegalPdu):
        wire.take(last)
    wire.receiver.discard()
    assert wire.intake.stored == []
    assert wire.sent == []
    assert left_over(spool) == []


def test_a_request_without_a_data_set_is_answered_at_once(wire: Wire) -> None:
    wire.take(command(data_set=False))
    assert wire.statuses == [0xC000]
    wire.take(command(), pdv(b"data", command=False, last=True))
    assert wire.statuses == [0xC000, 0]


def test_other_messages_are_handed_over_whole(wire: Wire) -> None:
    request = echo_request()
    wire.take(pdv(request[:9], command=True, last=False))
    wire.take(pdv(request[9:], command=True, last=True))
    assert wire.handed == [(1, b"\x03" + request)]
    assert wire.assembler.handed_over
    assert not wire.assembler.busy


def test_the_data_set_of_another_message_is_handed_over_too(spool: Spool) -> None:
    wire = Wire(spool, incomplete=2)
    find = store_request(command=0x0020)
    wire.take(pdv(find, command=True, last=True), pdv(b"query", command=False, last=False))
    assert wire.assembler.busy
    wire.assembler.handed_over = False
    wire.take(pdv(b"rest", command=False, last=True))
    assert wire.assembler.handed_over
    assert wire.handed == [(1, b"\x03" + find), (1, b"\x00query"), (1, b"\x02rest")]
    assert not wire.assembler.busy


def test_the_answer_names_the_object(wire: Wire) -> None:
    wire.take(command(instance="1.2.77"), pdv(b"data", command=False, last=True))
    answer = elements(wire.sent[0][12:])
    assert answer[0x1000] == b"1.2.77"
    assert answer[0x0002].rstrip(b"\0").decode() == CT
    assert answer[0x0120] == (7).to_bytes(2, "little")


def test_reserved_bits_of_the_control_header_do_not_matter(wire: Wire, tmp_path: Path) -> None:
    value = bytearray(pdv(store_request(), command=True, last=True))
    value[5] |= 0xFC
    wire.take(bytes(value), pdv(b"data", command=False, last=True))
    assert wire.statuses == [0]

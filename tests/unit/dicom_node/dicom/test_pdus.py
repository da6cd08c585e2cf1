"""Bytes of the upper layer, checked against pynetdicom's own reading of them."""

from __future__ import annotations

import contextlib
import struct
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.dsutils import decode
from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RQ

from dicom_node.dicom import pdus


def request(contexts: dict[int, tuple[str, list[str]]]) -> bytes:
    return pdus.associate_request(
        called="PACS",
        calling="DENOISE",
        contexts=contexts,
        max_pdu=16384,
        implementation_class_uid="2.25.1",
        implementation_version="TEST",
    )


def test_pynetdicom_reads_the_association_request() -> None:
    contexts = {1: (CTImageStorage, [ExplicitVRLittleEndian]), 3: (CTImageStorage, ["1.2.3"])}
    read = A_ASSOCIATE_RQ()
    read.decode(request(contexts))
    assert read.called_ae_title == "PACS"
    assert read.calling_ae_title == "DENOISE"
    found = {
        c.context_id: (c.abstract_syntax, c.transfer_syntax) for c in read.presentation_context
    }
    assert found == {1: (CTImageStorage, [ExplicitVRLittleEndian]), 3: (CTImageStorage, ["1.2.3"])}
    assert read.user_information is not None
    assert read.user_information.maximum_length == 16384


def accept(results: dict[int, tuple[int, str]], max_pdu: int = 4096) -> bytes:
    items = b""
    for context_id, (result, syntax) in results.items():
        inner = struct.pack(">BxH", 0x40, len(syntax)) + syntax.encode()
        items += struct.pack(">BxHBxBx", 0x21, 4 + len(inner), context_id, result) + inner
    user = struct.pack(">BxHI", 0x51, 4, max_pdu)
    return bytes(68) + items + struct.pack(">BxH", 0x50, len(user)) + user


def test_an_accept_is_read() -> None:
    read = pdus.parse_accept(accept({1: (0, ImplicitVRLittleEndian), 3: (4, "")}))
    assert read.results == {1: (0, ImplicitVRLittleEndian), 3: (4, "")}
    assert read.max_pdu == 4096


def test_the_accept_of_the_double_is_what_pynetdicom_reads() -> None:
    body = accept({1: (0, ImplicitVRLittleEndian)})
    read = A_ASSOCIATE_AC()
    read.decode(struct.pack(">BxI", 2, len(body)) + body)
    assert read.presentation_context[0].transfer_syntax == ImplicitVRLittleEndian


@given(st.binary(max_size=300))
def test_no_bytes_break_the_readers(body: bytes) -> None:
    for reader in (
        pdus.parse_accept,
        lambda one: pdus.parse_accept(bytes(68) + one),
        pdus.parse_response,
        lambda one: list(pdus.fragments(one)),
    ):
        with contextlib.suppress(pdus.MalformedPdu):
            reader(body)


@given(st.integers(min_value=0, max_value=120))
def test_a_cut_accept_is_malformed_or_shorter(cut: int) -> None:
    whole = accept({1: (0, ImplicitVRLittleEndian)})
    with contextlib.suppress(pdus.MalformedPdu):
        pdus.parse_accept(whole[: min(cut, len(whole))])


def test_pynetdicom_reads_the_store_command() -> None:
    command = pdus.store_request(7, CTImageStorage, "1.2.3.4.5")
    read = decode(BytesIO(command), True, True)
    assert read.CommandGroupLength == len(command) - 12
    assert read.CommandField == 0x0001
    assert read.MessageID == 7
    assert read.AffectedSOPClassUID == CTImageStorage
    assert read.AffectedSOPInstanceUID == "1.2.3.4.5"
    assert read.CommandDataSetType != 0x0101
    assert C_STORE().msg_type == "C-STORE"


def test_offending_elements_and_a_data_set_are_seen() -> None:
    def element(tag: int, value: bytes) -> bytes:
        return struct.pack("<HHI", 0, tag, len(value)) + value

    read = pdus.parse_response(
        element(0x0100, b"\x01\x80")
        + element(0x0120, b"\x05\x00")
        + element(0x0800, b"\x01\x00")
        + element(0x0900, b"\x00\xa9")
        + element(0x0901, b"\x08\x00\x16\x00\x10\x00\x20\x00")
        + element(0x1000, b"1.2.3\0")
    )
    assert read == pdus.Response(0x8001, 5, 0xA900, "1.2.3", (0x00080016, 0x00100020), True)


@pytest.mark.parametrize("missing", [0x0100, 0x0900])
def test_a_response_needs_its_command_and_status(missing: int) -> None:
    elements = {0x0100: b"\x01\x80", 0x0900: b"\x00\x00"}
    del elements[missing]
    data = b"".join(struct.pack("<HHI", 0, t, len(v)) + v for t, v in elements.items())
    with pytest.raises(pdus.MalformedPdu):
        pdus.parse_response(data)

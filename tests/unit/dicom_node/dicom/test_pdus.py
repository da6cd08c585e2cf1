"""Bytes of the upper layer, checked against pynetdicom's own reading of them."""

from __future__ import annotations

import contextlib
import struct

from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RQ, P_DATA_TF

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
    contexts: dict[int, tuple[str, list[str]]] = {
        1: (CTImageStorage, [ExplicitVRLittleEndian]),
        3: (CTImageStorage, ["1.2.3"]),
    }
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
        lambda one: list(pdus.fragments(one)),
    ):
        with contextlib.suppress(pdus.MalformedPdu):
            reader(body)


@given(st.integers(min_value=0, max_value=120))
def test_a_cut_accept_is_malformed_or_shorter(cut: int) -> None:
    whole = accept({1: (0, ImplicitVRLittleEndian)})
    with contextlib.suppress(pdus.MalformedPdu):
        pdus.parse_accept(whole[: min(cut, len(whole))])


@given(length=st.integers(1, 400), limit=st.sampled_from([0, 1, 70, 71, 128, 4096]))
def test_a_message_is_cut_to_what_the_peer_takes(length: int, limit: int) -> None:
    command = bytes(range(256)) * 2
    command = command[:length]
    together, last = b"", False
    for encoded in pdus.command_pdus(5, command, limit):
        assert not last
        pdu = P_DATA_TF()
        pdu.decode(encoded)
        assert limit == 0 or len(encoded) - 6 <= max(limit, 70)
        for value in pdu.presentation_data_value_items:
            assert value.presentation_context_id == 5
            assert value.presentation_data_value is not None
            control, fragment = (
                value.presentation_data_value[0],
                value.presentation_data_value[1:],
            )
            assert control & 1
            last = bool(control & 2)
            together += fragment
    assert last
    assert together == command

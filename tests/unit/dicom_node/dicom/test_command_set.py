from __future__ import annotations

import struct
from contextlib import suppress
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pynetdicom.dsutils import decode

from dicom_node.dicom.command_set import (
    Command,
    MalformedCommand,
    Response,
    parse_command,
    parse_response,
    store_response,
)
from dicom_node.dicom.command_set import store_request as a_store_request
from tests.support.wire import CT, echo_request, element, store_request


def test_a_store_request_is_read() -> None:
    assert parse_command(store_request(instance="1.2.3")) == Command(1, 7, True, CT, "1.2.3")


def test_a_command_without_data_set() -> None:
    command = parse_command(echo_request(9))
    assert (command.field, command.message_id, command.has_data_set) == (0x0030, 9, False)


@pytest.mark.parametrize("instance", [None, "", "1.2.a", "1" * 65, "1.2\\1.3", "\u0661.2"])
def test_a_uid_that_is_none_counts_as_missing(instance: str | None) -> None:
    encoded = store_request(instance=None)
    if instance is not None:
        encoded += element(0x1000, instance.encode())
    assert parse_command(encoded).sop_instance_uid == ""


def test_padding_and_leading_zeros_of_a_uid_are_forgiven() -> None:
    command = store_request(instance=None) + element(0x1000, b"1.2.03 ")
    assert parse_command(command).sop_instance_uid == "1.2.03"


@pytest.mark.parametrize(
    "encoded",
    [
        b"",
        b"\x00",
        store_request()[:-1],
        struct.pack("<HHI", 0, 0x0100, 0xFFFFFFFF),
        struct.pack("<HHIH", 8, 0x0018, 2, 1) + store_request(),
        element(0x0100, b"\x01\x00"),
        element(0x0100, b"\x01") + element(0x0800, b"\x01\x01"),
    ],
)
def test_what_is_no_command_set_is_refused(encoded: bytes) -> None:
    with pytest.raises(MalformedCommand):
        parse_command(encoded)


@given(st.binary(max_size=200))
def test_no_bytes_break_the_parser(encoded: bytes) -> None:
    with suppress(MalformedCommand):
        parse_command(encoded)


@pytest.mark.parametrize(("status", "comment"), [(0, ""), (0xA700, "no space " * 20)])
def test_the_response_is_what_a_peer_expects(status: int, comment: str) -> None:
    encoded = store_response(Command(1, 513, True, CT, "1.2.345"), status, comment)
    response = decode(BytesIO(encoded), True, True)
    assert response.CommandField == 0x8001
    assert response.MessageIDBeingRespondedTo == 513
    assert response.CommandDataSetType == 0x0101
    assert response.Status == status
    assert response.AffectedSOPClassUID == CT
    assert response.AffectedSOPInstanceUID == "1.2.345"
    assert response.get("ErrorComment", "") == comment[:64].strip()
    assert response.CommandGroupLength == len(encoded) - 12
    tags = [int(one.tag) for one in response]
    assert tags == sorted(tags)


def test_a_response_to_a_request_without_uids_leaves_them_out() -> None:
    response = decode(BytesIO(store_response(Command(1, 1, True, "", ""), 0x0117)), True, True)
    assert "AffectedSOPInstanceUID" not in response
    assert "AffectedSOPClassUID" not in response


def test_pynetdicom_reads_the_store_command() -> None:
    command = a_store_request(7, CT, "1.2.3.4.5")
    read = decode(BytesIO(command), True, True)
    assert read.CommandGroupLength == len(command) - 12
    assert read.CommandField == 0x0001
    assert read.MessageID == 7
    assert read.AffectedSOPClassUID == CT
    assert read.AffectedSOPInstanceUID == "1.2.3.4.5"
    assert read.CommandDataSetType != 0x0101


def test_offending_elements_and_a_data_set_are_seen() -> None:
    def element(tag: int, value: bytes) -> bytes:
        return struct.pack("<HHI", 0, tag, len(value)) + value

    read = parse_response(
        element(0x0100, b"\x01\x80")
        + element(0x0120, b"\x05\x00")
        + element(0x0800, b"\x01\x00")
        + element(0x0900, b"\x00\xa9")
        + element(0x0901, b"\x08\x00\x16\x00\x10\x00\x20\x00")
        + element(0x1000, b"1.2.3\0")
    )
    assert read == Response(0x8001, 5, 0xA900, "1.2.3", (0x00080016, 0x00100020), True)


@pytest.mark.parametrize("missing", [0x0100, 0x0900])
def test_a_response_needs_its_command_and_status(missing: int) -> None:
    elements = {0x0100: b"\x01\x80", 0x0900: b"\x00\x00"}
    del elements[missing]
    data = b"".join(struct.pack("<HHI", 0, t, len(v)) + v for t, v in elements.items())
    with pytest.raises(MalformedCommand):
        parse_response(data)


@given(st.binary(max_size=300))
def test_no_bytes_break_the_reader_of_responses(encoded: bytes) -> None:
    with suppress(MalformedCommand):
        parse_response(encoded)

from __future__ import annotations

import struct
from contextlib import suppress
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pynetdicom.dsutils import decode
from pynetdicom.pdu import P_DATA_TF

from dicom_node.dicom.command_set import (
    Command,
    MalformedCommand,
    command_pdus,
    parse_command,
    store_response,
)
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


@given(length=st.integers(1, 400), limit=st.sampled_from([0, 1, 70, 71, 128, 4096]))
def test_a_message_is_cut_to_what_the_peer_takes(length: int, limit: int) -> None:
    command = bytes(range(256)) * 2
    command = command[:length]
    together, last = b"", False
    for encoded in command_pdus(5, command, limit):
        assert not last
        pdu = P_DATA_TF()
        pdu.decode(encoded)
        assert limit == 0 or len(encoded) - 6 <= max(limit, 70)
        for value in pdu.presentation_data_value_items:
            assert value.presentation_context_id == 5
            control, fragment = (
                value.presentation_data_value[0],
                value.presentation_data_value[1:],
            )
            assert control & 1
            last = bool(control & 2)
            together += fragment
    assert last
    assert together == command

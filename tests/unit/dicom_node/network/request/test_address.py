"""An address is legal or cannot be made."""

from __future__ import annotations

from typing import Any

import pytest

from dicom_node.network.request import Address, Timeouts


def make(**fields: Any) -> Address:
    legal: dict[str, Any] = {
        "name": "pacs",
        "host": "127.0.0.1",
        "port": 104,
        "called_ae_title": "PACS",
        "calling_ae_title": "DENOISE",
    }
    return Address(**(legal | fields))


@pytest.mark.parametrize("title", ["", "    ", "SEVENTEEN_LETTERS", "BACK\\SLASH", "ÄRGER", "A\nB"])
@pytest.mark.parametrize("field", ["called_ae_title", "calling_ae_title"])
def test_an_illegal_ae_title_is_refused(field: str, title: str) -> None:
    with pytest.raises(ValueError, match="AE title"):
        make(**{field: title})


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_an_illegal_port_is_refused(port: int) -> None:
    with pytest.raises(ValueError, match="TCP port"):
        make(port=port)


def test_a_tiny_pdu_is_refused_and_no_limit_is_not() -> None:
    with pytest.raises(ValueError, match="PDU"):
        make(max_pdu=100)
    assert make(max_pdu=0).max_pdu == 0


def test_waits_have_an_end() -> None:
    with pytest.raises(ValueError, match="timeout"):
        Timeouts(dimse=0)
    assert Timeouts.all(3.0) == Timeouts(connect=3.0, acse=3.0, dimse=3.0, network=3.0)

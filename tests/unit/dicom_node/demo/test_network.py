"""Addresses are read as a user writes them."""

from __future__ import annotations

import pytest

from dicom_node.demo.network import LOOPBACK, Endpoint, answers
from tests.support.servers import dead_port


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("10.1.2.9:104:PACS", Endpoint("10.1.2.9", 104, "PACS")),
        (" pacs.local:11112:MY PACS ", Endpoint("pacs.local", 11112, "MY PACS")),
        ("[::1]:104:PACS", Endpoint("::1", 104, "PACS")),
    ],
)
def test_host_port_and_title(text: str, address: Endpoint) -> None:
    assert Endpoint.parse(text) == address


@pytest.mark.parametrize(
    "text",
    ["", "PACS", "10.1.2.9:104", "10.1.2.9:0:PACS", "h:70000:PACS", "h:104:SEVENTEEN_LETTERS"],
)
def test_anything_else_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match=r"HOST:PORT:AET"):
        Endpoint.parse(text)


def test_nobody_answers_on_a_free_port() -> None:
    assert not answers(Endpoint(LOOPBACK, dead_port(), "PACS"), "ME", timeout_s=1)

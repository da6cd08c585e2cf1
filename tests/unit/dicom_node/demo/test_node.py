"""The node of the demonstration has a configuration of its own and is heard when it fails."""

from __future__ import annotations

from pathlib import Path

import pytest

from dicom_node.demo.errors import NodeNotReady
from dicom_node.demo.network import LOOPBACK, Endpoint, free_port
from dicom_node.demo.node import GIVEN_PACS, OWN_PACS, NodeFiles, NodeProcess, write_config
from dicom_node.settings import load

NODE, PACS = Endpoint(LOOPBACK, 11112, "DENOISE"), Endpoint(LOOPBACK, 104, "PACS")


@pytest.fixture
def files(tmp_path: Path) -> NodeFiles:
    folder = tmp_path / 'a "quoted" folder'
    folder.mkdir()
    return NodeFiles(folder, tmp_path / "node.log")


def test_the_configuration_is_one_that_the_node_takes(files: NodeFiles) -> None:
    write_config(files, NODE, PACS, None)
    settings = load(files.config)
    assert settings.database_url == f"sqlite:///{files.ledger}"
    assert settings.node.host == LOOPBACK
    assert {route.name: route.destinations for route in settings.routes} == {
        "ct": (OWN_PACS,),
        "xray": (OWN_PACS,),
    }


def test_a_given_pacs_gets_every_result_too(files: NodeFiles) -> None:
    write_config(files, NODE, PACS, Endpoint("10.1.2.9", 4242, "ARCHIVE"))
    settings = load(files.config)
    assert {route.destinations for route in settings.routes} == {(OWN_PACS, GIVEN_PACS)}
    given = settings.destination(GIVEN_PACS)
    assert given is not None
    assert (given.host, given.port, given.ae_title) == ("10.1.2.9", 4242, "ARCHIVE")


def test_a_node_that_cannot_start_says_why(files: NodeFiles) -> None:
    files.config.write_text("[node]\nno_such_key = 1\n")
    with NodeProcess(files, Endpoint(LOOPBACK, free_port(), "DENOISE")) as process:
        with pytest.raises(NodeNotReady, match="no_such_key") as caught:
            process.wait_until_ready()
        assert str(files.log) in str(caught.value)
    assert "no_such_key" in files.log.read_text()

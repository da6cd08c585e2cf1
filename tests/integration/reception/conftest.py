"""A server for each way of reading, and an intake that keeps what it gets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dicom_node.network.accept.admission import Admission
from dicom_node.network.accept.association import Reader
from dicom_node.network.accept.server import Server
from dicom_node.spool.spool import Spool
from tests.support.reception import Start
from tests.support.wire import RecordingIntake


@pytest.fixture(params=["inline", "stock"])
def reader(request: pytest.FixtureRequest) -> Reader:
    return request.param


@pytest.fixture
def intake(tmp_path: Path) -> RecordingIntake:
    return RecordingIntake(Spool(tmp_path / "spool"))


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
            intake.spool,
            **({"reader": reader} | options),
        )
        server.start()
        servers.append(server)
        return server

    yield start_server
    for server in servers:
        server.stop(grace_seconds=0)

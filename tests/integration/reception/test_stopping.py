"""How the receiving side starts and stops."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack
from typing import Any

import pytest

from dicom_node.errors import ConfigError
from dicom_node.network.accept.admission import Admission
from dicom_node.network.accept.server import Server
from tests.support.reception import DATA, Start, nothing_stays, received_data
from tests.support.waiting import eventually
from tests.support.wire import RawPeer, RecordingIntake, message, store_request


def test_stop_waits_for_the_object_in_hand(start: Start, intake: RecordingIntake) -> None:
    intake.gate = threading.Event()
    server = start()
    with RawPeer(server.port) as busy, RawPeer(server.port) as idle:
        busy.associate(calling="BUSY")
        idle.associate(calling="IDLE")
        busy.send(message(store_request(), DATA))
        assert intake.entered.wait(5)
        stopping = threading.Thread(target=server.stop, args=(10,))
        stopping.start()
        assert idle.receive()[0] == 7
        assert stopping.is_alive()
        intake.gate.set()
        assert busy.status() == 0
        assert busy.receive()[0] == 7
        stopping.join(5)
        assert not stopping.is_alive()
    assert received_data(intake) == [DATA]
    assert intake.ends == ["shutdown", "shutdown"]


def test_stop_aborts_what_takes_longer_than_the_grace(
    start: Start, intake: RecordingIntake
) -> None:
    server = start()
    with RawPeer(server.port) as peer:
        peer.associate()
        peer.send(message(store_request(), DATA)[:40_000])
        time.sleep(0.2)
        begun = time.monotonic()
        server.stop(grace_seconds=0.3)
        assert time.monotonic() - begun < 5
        assert peer.closed()
    nothing_stays(intake, "shutdown")


@pytest.mark.parametrize("stays", [False, True])
def test_stop_does_not_wait_for_who_connects_and_asks_for_nothing(
    start: Start, intake: RecordingIntake, stays: bool
) -> None:
    server = start(acse_timeout=30.0)
    with ExitStack() as connected:
        connected.enter_context(RawPeer(server.port))
        eventually(lambda: len(server._associations.connections) == 1)
        if not stays:
            connected.close()
            eventually(lambda: not server._associations.connections)
        begun = time.monotonic()
        server.stop(grace_seconds=20)
        assert time.monotonic() - begun < 5
    assert intake.calls == []


def test_a_stopped_server_listens_no_more_and_stops_again(
    start: Start, intake: RecordingIntake
) -> None:
    server = start()
    port = server.port
    server.stop()
    server.stop()
    with pytest.raises(ConnectionRefusedError):
        RawPeer(port)


def test_a_port_in_use_is_a_clear_error(start: Start, intake: RecordingIntake) -> None:
    taken = start().port
    other = Server(
        "DENOISE",
        "127.0.0.1",
        taken,
        Admission(ae_titles=["DENOISE"]),
        intake,
        intake.spool,
    )
    with pytest.raises(ConfigError, match=str(taken)):
        other.start()


@pytest.mark.parametrize(
    "options", [{"max_pdu": 0}, {"max_pdu": 100}, {"idle_timeout": 0}, {"max_object_bytes": -1}]
)
def test_limits_out_of_range(intake: RecordingIntake, options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Server(
            "DENOISE",
            "",
            0,
            Admission(ae_titles=["X"]),
            intake,
            intake.spool,
            **options,
        )

"""Reception over TLS."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from pathlib import Path

import pytest

from tests.support.reception import DATA, Start, received_data
from tests.support.waiting import eventually
from tests.support.wire import (
    RELEASE_RQ,
    RawPeer,
    RecordingIntake,
    associate_request,
    message,
    store_request,
)


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed")
    key, pem = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-keyout", key, "-out", pem, "-days", "2", "-subj", "/CN=localhost"),
        ],
        check=True,
        capture_output=True,
    )
    return key, pem


def test_tls(start: Start, intake: RecordingIntake, certificate: tuple[Path, Path]) -> None:
    key, pem = certificate
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, key)
    server = start(tls=context, acse_timeout=1.0)
    trusting = ssl.create_default_context(cafile=str(pem))
    trusting.check_hostname = False
    with RawPeer(server.port) as plain, RawPeer(server.port) as peer:
        peer.socket = trusting.wrap_socket(peer.socket)
        peer.associate()
        for number in range(3):
            peer.send(message(store_request(instance=f"1.2.{number}"), DATA))
            assert peer.status() == 0
        peer.send(RELEASE_RQ)
        assert peer.receive()[0] == 6
        plain.send(associate_request())
        plain.receive()  # a TLS alert, or nothing
    eventually(lambda: intake.ends == ["released"])
    assert received_data(intake) == [DATA] * 3

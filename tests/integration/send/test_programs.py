"""Sending to DCMTK's storescp and to Orthanc."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path

import pytest

from dicom_node.network.request import DeliveryOutcome
from tests.support.factories import dicom as make
from tests.support.sending import SHORT, Store, address, assert_same_values, outcomes, sent
from tests.support.servers import Orthanc, StoreScp


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    key, cert = folder / "key.pem", folder / "cert.pem"
    command = [
        "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
        "-keyout", str(key), "-out", str(cert), "-subj", "/CN=127.0.0.1",
        "-addext", "subjectAltName=IP:127.0.0.1",
    ]  # fmt: skip
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=60)
    except FileNotFoundError:
        pytest.skip("openssl is not installed")
    return key, cert


@pytest.mark.dcmtk
def test_tls_to_storescp(store: Store, certificate: tuple[Path, Path]) -> None:
    key, cert = certificate
    batch = store(*make.ct_series(2))
    trusting = ssl.create_default_context(cafile=str(cert))
    with StoreScp("+tls", str(key), str(cert), "-ic") as scp:
        answers = sent(address(scp.port, tls=trusting), batch)
        assert outcomes(answers) == [DeliveryOutcome.DELIVERED] * 2
        doubting = ssl.create_default_context()
        for wrong in (doubting, None):
            answers = sent(address(scp.port, tls=wrong, timeouts=SHORT), batch)
            assert outcomes(answers) == [DeliveryOutcome.RETRY] * 2


@pytest.mark.dcmtk
@pytest.mark.parametrize("option", ["", "+xi", "+xt", "+xv", "+xr", "+xa"])
def test_storescp_keeps_the_values(store: Store, option: str) -> None:
    batch = store(make.ct_slice(), make.dx_image(), make.enhanced_ct(), make.multiframe())
    with StoreScp(*[option] if option else []) as scp:
        assert outcomes(sent(address(scp.port), batch)) == [DeliveryOutcome.DELIVERED] * 4
        files = scp.received()
        for outgoing in batch:
            assert_same_values(outgoing.path, files[outgoing.result.sop_instance_uid])


@pytest.mark.dcmtk
@pytest.mark.parametrize("option", ["--refuse", "--abort-after", "--abort-during"])
def test_storescp_that_refuses_or_aborts(store: Store, option: str) -> None:
    batch = store(*make.ct_series(3))
    with StoreScp(option) as scp:
        answers = sent(address(scp.port, timeouts=SHORT), batch)
    assert outcomes(answers) == [DeliveryOutcome.RETRY] * 3


@pytest.mark.dcmtk
def test_storescp_that_is_too_slow(store: Store) -> None:
    with StoreScp("--sleep-during", "3") as scp:
        answers = sent(address(scp.port, timeouts=SHORT), store(make.ct_slice()))
        scp.kill()
    assert outcomes(answers) == [DeliveryOutcome.RETRY]


@pytest.mark.orthanc
def test_orthanc_stores_and_gives_back_the_values(store: Store, tmp_path: Path) -> None:
    batch = store(*make.ct_series(3), make.dx_image(), make.enhanced_ct())
    with Orthanc(aet="PACS") as pacs:
        assert outcomes(sent(address(pacs.dicom_port), batch)) == [DeliveryOutcome.DELIVERED] * 5
        again = sent(address(pacs.dicom_port), batch)
        assert set(outcomes(again)) <= {DeliveryOutcome.DELIVERED, DeliveryOutcome.WARNING}
        assert set(pacs.instances()) == {one.result.sop_instance_uid for one in batch}
        for outgoing in batch:
            path = tmp_path / "back.dcm"
            path.write_bytes(pacs.file(outgoing.result.sop_instance_uid))
            assert_same_values(outgoing.path, path)

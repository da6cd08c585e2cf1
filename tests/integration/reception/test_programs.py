"""Reception from DCMTK, and of real objects."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.errors import InvalidDicomError
from pydicom.uid import UID

from dicom_node.network.accept.server import Server
from tests.support.factories.dicom import ct_slice, write
from tests.support.reception import Start, received_data
from tests.support.waiting import eventually
from tests.support.wire import (
    EXPLICIT,
    IMPLICIT,
    RawPeer,
    RecordingIntake,
    data_set_of,
    message,
    store_request,
)

needs_dcmtk = pytest.mark.dcmtk


def dcmtk(program: str, options: list[str], server: Server, *files: Path) -> str:
    done = subprocess.run(
        [program, "-aec", "DENOISE", *options, "127.0.0.1", str(server.port), *files],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "TCP_NODELAY": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


class TestDcmtk:
    pytestmark = needs_dcmtk

    def test_echoscu(self, start: Start, intake: RecordingIntake) -> None:
        server = start()
        subprocess.run(
            ["echoscu", "-aec", "DENOISE", "--repeat", "5", "127.0.0.1", str(server.port)],
            check=True,
            timeout=30,
        )
        eventually(lambda: intake.ends == ["released"])

    @pytest.mark.parametrize(
        ("option", "syntax"),
        [("-xi", IMPLICIT), ("-xe", EXPLICIT), ("-xb", "1.2.840.10008.1.2.2")],
    )
    def test_storescu(
        self,
        start: Start,
        intake: RecordingIntake,
        tmp_path: Path,
        option: str,
        syntax: str,
    ) -> None:
        paths = [
            write(ct_slice(seed=n, transfer_syntax=syntax), tmp_path / f"{n}.dcm") for n in range(3)
        ]
        folder = tmp_path / "study"
        folder.mkdir()
        for path in paths:
            path.rename(folder / path.name)
        server = start()
        dcmtk("storescu", [option, "+sd"], server, folder)
        eventually(lambda: intake.ends == ["released"])
        assert {received.transfer_syntax_uid for received, _ in intake.stored} == {syntax}
        sent = {
            str(dcmread(path).SOPInstanceUID): data_set_of(path.read_bytes())
            for path in folder.iterdir()
        }
        got = {
            received.sop_instance_uid: data_set_of(path.read_bytes())
            for received, path in intake.stored
        }
        assert got == sent


def odd_files(shared_data: Path) -> list[Path]:
    """One real file of each transfer syntax."""
    found: dict[str, Path] = {}
    for path in sorted((shared_data / "odd").rglob("*")):
        if not path.is_file():
            continue
        try:
            meta = dcmread(path, specific_tags=["SOPInstanceUID"], stop_before_pixels=True)
            UID(meta.SOPInstanceUID)
            syntax = str(meta.file_meta.TransferSyntaxUID)
            sop_class = meta.file_meta.get("MediaStorageSOPClassUID")
        except (InvalidDicomError, AttributeError, OSError, ValueError):
            continue
        if sop_class and path.stat().st_size < 4_000_000:
            found.setdefault(syntax, path)
    return list(found.values())


@pytest.mark.filterwarnings("ignore")
def test_real_objects_of_every_transfer_syntax_arrive_byte_for_byte(
    start: Start, intake: RecordingIntake, shared_data: Path
) -> None:
    files = odd_files(shared_data)
    assert len(files) > 10
    sent = []
    with RawPeer(start().port) as peer:
        metas = [dcmread(path, stop_before_pixels=True).file_meta for path in files]
        contexts = [
            (2 * i + 1, str(meta.MediaStorageSOPClassUID), (str(meta.TransferSyntaxUID),))
            for i, meta in enumerate(metas)
        ]
        peer.associate(contexts=contexts)
        for i, (path, meta) in enumerate(zip(files, metas, strict=True)):
            data = data_set_of(path.read_bytes())
            request = store_request(
                sop_class=str(meta.MediaStorageSOPClassUID), instance=f"1.2.3.{i}"
            )
            peer.send(message(request, data, context=2 * i + 1))
            assert peer.status() == 0
            sent.append(data)
    assert received_data(intake) == sent
    assert [r.transfer_syntax_uid for r, _ in intake.stored] == [
        str(meta.TransferSyntaxUID) for meta in metas
    ]

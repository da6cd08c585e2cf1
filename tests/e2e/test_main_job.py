"""The main job: a study goes in by C-STORE, denoised series come out at the PACS."""

from __future__ import annotations

import json
import subprocess
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread

from tests.support.factories.dicom import ct_series, dx_image, non_image, to_bytes, write
from tests.support.node import RunningNode, done
from tests.support.pacs import FakePacs
from tests.support.postgres import Postgres
from tests.support.scanner import send, storescu
from tests.support.servers import Orthanc, Redis


def the_study(slices: int = 10) -> tuple[list[Dataset], Dataset]:
    series = ct_series(slices, size=(96, 80))
    return series, dx_image(size=(210, 170))


@pytest.mark.dcmtk
@pytest.mark.orthanc
def test_a_study_comes_back_to_the_pacs_denoised_stacked_and_linked(
    running_node: RunningNode, orthanc: Orthanc, tmp_path: Path
) -> None:
    series, dx = the_study()
    outbox = tmp_path / "scanner"
    outbox.mkdir()
    for dataset in (*series, dx):
        orthanc.upload(to_bytes(dataset))
        write(dataset, outbox)
    running_node.configure({"pacs": ("ORTHANC", orthanc.dicom_port)})
    running_node.start()
    assert (
        subprocess.run(
            ["echoscu", "-aec", "DENOISE", "127.0.0.1", str(running_node.port)], check=False
        ).returncode
        == 0
    )

    sent = storescu(outbox, running_node.port)
    assert sent.returncode == 0, sent.stderr
    states = running_node.wait(done(11))
    assert states["delivered"] == 11

    source = series[0]
    results = [
        one
        for one in orthanc.series()
        if one["MainDicomTags"].get("SeriesDescription", "").endswith("denoised drunet-ct")
    ]
    assert len(results) == 1
    assert len(results[0]["Instances"]) == 10
    study = orthanc.request(f"/studies/{results[0]['ParentStudy']}")
    assert study["MainDicomTags"]["StudyInstanceUID"] == source.StudyInstanceUID
    assert len(study["Series"]) == 2
    by_source = {str(dataset.SOPInstanceUID): dataset for dataset in series}
    for orthanc_id in results[0]["Instances"]:
        result = dcmread(BytesIO(orthanc.download(f"/instances/{orthanc_id}/file")))
        original = by_source[result.SourceImageSequence[0].ReferencedSOPInstanceUID]
        assert result.ImagePositionPatient == original.ImagePositionPatient
        assert result.FrameOfReferenceUID == original.FrameOfReferenceUID
        assert result.InstanceNumber == original.InstanceNumber
        before, after = original.pixel_array.astype(int), result.pixel_array.astype(int)
        inside = np.s_[30:60, 25:55]
        assert after[inside].std() < before[inside].std()
        assert abs(after[inside].mean() - before[inside].mean()) < 5

    # The same study again changes nothing.
    assert storescu(outbox, running_node.port).returncode == 0
    assert running_node.wait(done(11)) == states
    assert running_node.stop() == 0


@pytest.mark.orthanc
def test_a_pacs_that_routes_everything_back_gets_nothing_denoised_twice(
    running_node: RunningNode, orthanc: Orthanc
) -> None:
    series, _ = the_study(4)
    running_node.configure({"pacs": ("ORTHANC", orthanc.dicom_port)})
    running_node.start()
    for dataset in series:
        orthanc.upload(to_bytes(dataset))
    orthanc.add_peer("denoise", "DENOISE", running_node.port)
    orthanc.send_to("denoise", list(orthanc.instances().values()))
    running_node.wait(done(4))
    assert len(orthanc.instances()) == 8

    orthanc.send_to("denoise", list(orthanc.instances().values()))
    states = running_node.wait(done(8))
    assert states == {**dict.fromkeys(states, 0), "delivered": 4, "passed": 4}
    assert len(orthanc.instances()) == 8


@pytest.mark.redis
@pytest.mark.postgresql
def test_the_same_node_runs_as_a_cluster_on_postgresql_and_redis(
    running_node: RunningNode,
    redis_server: Redis,
    postgres_server: Postgres,
    tmp_path: Path,
) -> None:
    series, dx = the_study(6)
    url = postgres_server.create_database("cluster")
    extra = f'[database]\nurl = "{url}"\n[broker]\nurl = "{redis_server.url}"\n'
    with FakePacs() as pacs:
        running_node.configure({"pacs": ("PACS", pacs.port)}, extra=extra)
        running_node.start_parts()
        assert send([*series, dx], running_node.port, tmp_path) == [0] * 7
        assert running_node.wait(done(7))["delivered"] == 7
        assert len(pacs.uids) == 7
        assert not pacs.duplicates
    assert "ok   ledger" in running_node.command("check", check=False)


def test_work_starts_while_the_study_arrives_and_a_late_image_joins_its_series(
    running_node: RunningNode, tmp_path: Path
) -> None:
    series = ct_series(5, size=(64, 64))
    with FakePacs() as pacs:
        running_node.configure({"pacs": ("PACS", pacs.port)})
        running_node.start()
        send(series[:4], running_node.port, tmp_path)
        running_node.wait(done(4))
        send(series[4:], running_node.port, tmp_path)
        running_node.wait(done(5))
        results = [dcmread(BytesIO(one.data), force=True) for one in pacs.received]
    assert len({result.SeriesInstanceUID for result in results}) == 1
    assert len({result.SOPInstanceUID for result in results}) == 5


def test_a_dead_destination_delays_only_its_own_deliveries(
    running_node: RunningNode, tmp_path: Path
) -> None:
    series = ct_series(3, size=(64, 64))
    with FakePacs() as pacs, FakePacs(hang_after=0) as hanging:
        running_node.configure({"good": ("PACS", pacs.port), "hanging": ("PACS", hanging.port)})
        running_node.start()
        send(series, running_node.port, tmp_path)
        running_node.wait(lambda states: len(pacs.uids) == 3)
        rows = json.loads(running_node.command("destination", "list", "--json"))
        assert {row["destination"]: row["delivered"] for row in rows} == {"good": 3, "hanging": 0}
        hanging.hang_after = None
        assert running_node.wait(done(3))["delivered"] == 3
        assert not hanging.conflicts


def test_refusals_become_dead_letters_that_a_person_can_retry(
    running_node: RunningNode, tmp_path: Path
) -> None:
    series = ct_series(3, size=(64, 64))
    with FakePacs(statuses=lambda _uid, nth: 0x0000 if nth else 0x0122) as pacs:
        running_node.configure({"pacs": ("PACS", pacs.port)})
        running_node.start()
        send(series, running_node.port, tmp_path)
        states = running_node.wait(done(3))
        assert (states["delivered"], states["failed"]) == (2, 1)
        letters = json.loads(running_node.command("destination", "failed", "--json"))
        assert [letter["status"] for letter in letters] == ["0x0122"]
        running_node.command("study", "retry", str(series[0].StudyInstanceUID))
        assert running_node.wait(lambda states: states["delivered"] == 3)
        assert not pacs.conflicts


def test_what_must_not_be_denoised_passes_with_its_reason(
    running_node: RunningNode, tmp_path: Path
) -> None:
    localizer = ct_series(1, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])[0]
    report = non_image("1.2.840.10008.5.1.4.1.1.88.67", "SR")
    with FakePacs() as pacs:
        running_node.configure({"pacs": ("PACS", pacs.port)})
        running_node.start()
        assert send([localizer, report], running_node.port, tmp_path) == [0, 0]
        states = running_node.wait(done(2))
        assert states["passed"] == 2
        assert not pacs.received
        shown = running_node.command("study", "show", str(localizer.StudyInstanceUID))
        assert "localizer" in shown.lower()


def test_a_stop_in_the_middle_finishes_what_is_in_hand_and_loses_nothing(
    running_node: RunningNode, tmp_path: Path
) -> None:
    series = ct_series(30, size=(128, 128))
    with FakePacs() as pacs:
        running_node.configure({"pacs": ("PACS", pacs.port)})
        running_node.start()
        send(series, running_node.port, tmp_path)
        assert running_node.stop() == 0
        running_node.start()
        assert running_node.wait(done(30))["delivered"] == 30
        assert not pacs.conflicts
        assert len(set(pacs.uids)) == 30

"""Proof against real destinations: what an archive holds, and what keeps one from saying so."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from sqlalchemy import select, update

from dicom_node.audit.reconcile import DestinationProof, ProofOutcome, Report, reconcile
from dicom_node.ledger.proof import Scope
from dicom_node.ledger.tables import ResultRow
from dicom_node.network.request.find import Finder
from dicom_node.network.request.scu import NoAnswer, Trouble
from dicom_node.settings import DestinationSettings
from tests.support.broken_pacs import Breach, BrokenPacs
from tests.support.factories import ct_series, ct_slice, to_bytes
from tests.support.ledgers import TWO_ROUTES, Life
from tests.support.node import RunningNode
from tests.support.pacs import FakePacs
from tests.support.postgres import Postgres
from tests.support.scanner import send
from tests.support.servers import Orthanc, dead_port

ALLOWED = {"DicomAlwaysAllowFind": True}
STUDY = "1.2.3"
SERIES = "1.2.99.1"


@pytest.fixture
def archive() -> Iterator[Orthanc]:
    """An empty Orthanc that answers our queries."""
    with Orthanc(configuration=ALLOWED) as server:
        yield server


def delivered(folder: Path, ports: Mapping[str, int], count: int = 6, url: str = "") -> Life:
    """A node whose ledger says that `count` results of one series are at each destination."""
    route = TWO_ROUTES["routes"][0]
    tree = {
        "destinations": [
            {"name": name, "ae_title": "ORTHANC", "host": "127.0.0.1", "port": port,
             "timeout_seconds": 3}
            for name, port in ports.items()
        ],
        "routes": [{**route, "destinations": list(ports)}],
    }  # fmt: skip
    life = Life(folder, url=url, tree=tree)
    life.associate()
    life.receive_series(count)
    life.denoise_all()
    life.deliver_all()
    with life.ledger.write() as unit:
        unit.session.execute(update(ResultRow).values(series_uid=SERIES))
    return life


def results(life: Life) -> list[str]:
    return [uid for (uid,) in life.rows(select(ResultRow.sop_instance_uid))]


def upload(pacs: Orthanc, uids: list[str]) -> None:
    for uid in uids:
        pacs.upload(
            to_bytes(
                ct_slice(
                    size=(4, 4), StudyInstanceUID=STUDY, SeriesInstanceUID=SERIES,
                    SOPInstanceUID=uid,
                )
            )
        )  # fmt: skip


def prove(life: Life) -> Report:
    return reconcile(life.ledger, life.settings, Scope(study_uid=STUDY))


def only(report: Report) -> DestinationProof:
    (one,) = report.destinations
    return one


@pytest.mark.orthanc
def test_orthanc_proves_what_it_holds_and_names_what_it_lost(
    tmp_path: Path, archive: Orthanc
) -> None:
    life = delivered(tmp_path / "node", {"pacs": archive.dicom_port})
    uids = results(life)
    assert len(only(prove(life)).missing) == 6
    upload(archive, uids[:-1])
    report = prove(life)
    assert report.outcome is ProofOutcome.LOST
    assert [one.sop_instance_uid for one in only(report).missing] == uids[-1:]
    upload(archive, uids[-1:])
    report = prove(life)
    assert report.outcome is ProofOutcome.PROVEN
    assert only(report).found == 6
    archive.request(f"/instances/{archive.instances()[uids[0]]}", method="DELETE")
    assert [one.sop_instance_uid for one in only(prove(life)).missing] == uids[:1]


@pytest.mark.orthanc
def test_an_archive_that_limits_its_answers_still_proves_everything(tmp_path: Path) -> None:
    with Orthanc(configuration=ALLOWED | {"LimitFindInstances": 4, "LimitFindResults": 4}) as pacs:
        life = delivered(tmp_path / "node", {"pacs": pacs.dicom_port})
        upload(pacs, results(life))
        with Finder(life.settings.destinations[0], "DENOISE") as finder:
            assert len(finder.instances(STUDY, SERIES).uids) == 4
        report = prove(life)
    assert (only(report).found, report.outcome) == (6, ProofOutcome.PROVEN)


@pytest.mark.orthanc
def test_an_archive_that_allows_us_no_query_is_unprovable(tmp_path: Path) -> None:
    with Orthanc() as pacs:
        life = delivered(tmp_path / "node", {"pacs": pacs.dicom_port})
        upload(pacs, results(life))
        report = prove(life)
    assert report.outcome is ProofOutcome.UNPROVABLE
    assert only(report).unprovable == 6
    assert "let it allow 'DENOISE' to query" in only(report).reason


@pytest.mark.orthanc
def test_many_destinations_each_on_its_own_word(tmp_path: Path, archive: Orthanc) -> None:
    with FakePacs() as storing:
        ports = {"archive": archive.dicom_port, "stores": storing.port, "off": dead_port()}
        life = delivered(tmp_path / "node", ports, count=2)
        upload(archive, results(life))
        report = prove(life)
    assert report.outcome is ProofOutcome.UNPROVABLE
    found = {one.destination: one for one in report.destinations}
    assert {name: (one.found, one.unprovable) for name, one in found.items()} == {
        "archive": (2, 0),
        "stores": (0, 2),
        "off": (0, 2),
    }
    assert "does not offer C-FIND" in found["stores"].reason
    assert "refused the connection" in found["off"].reason


@pytest.mark.parametrize(
    ("breach", "trouble"),
    [
        (Breach.SILENT, Trouble.TIMEOUT),
        (Breach.CLOSES_AT_ONCE, Trouble.FAILED),
        (Breach.ABORTS_REQUEST, Trouble.ABORTED),
        (Breach.NEVER_READS, Trouble.TIMEOUT),
        (Breach.CLOSES_MID_TRANSFER, Trouble.TIMEOUT),
        (Breach.UNKNOWN_PDU, Trouble.TIMEOUT),
    ],
)
def test_a_destination_that_breaks_the_protocol_ends_the_question(
    breach: Breach, trouble: Trouble
) -> None:
    with BrokenPacs(breach) as pacs:
        there = DestinationSettings(
            name="pacs", ae_title="PACS", host="127.0.0.1", port=pacs.port, timeout_seconds=1
        )
        with Finder(there, "DENOISE") as finder, pytest.raises(NoAnswer) as failure:
            finder.instances(STUDY, SERIES)
    assert failure.value.trouble is trouble


@pytest.mark.orthanc
def test_an_archive_that_restarts_is_asked_again(archive: Orthanc) -> None:
    there = DestinationSettings(
        name="pacs", ae_title="ORTHANC", host="127.0.0.1", port=archive.dicom_port,
        timeout_seconds=5,
    )  # fmt: skip
    upload(archive, ["1.2.99.2"])
    with Finder(there, "DENOISE") as finder:
        assert finder.instances(STUDY, SERIES).uids == {"1.2.99.2"}
        assert finder.instances(STUDY, SERIES, "1.2.99.3").uids == frozenset()
        archive.kill()
        archive.start()
        assert finder.instances(STUDY, SERIES, "1.2.99.2").uids == {"1.2.99.2"}
    with pytest.raises(ValueError, match="UIDs"):
        finder.instances("", SERIES)


@pytest.mark.postgresql
@pytest.mark.orthanc
def test_the_same_on_postgresql(
    tmp_path: Path, archive: Orthanc, postgres_server: Postgres
) -> None:
    url = postgres_server.create_database("proof")
    life = delivered(tmp_path / "node", {"pacs": archive.dicom_port}, count=2, url=url)
    upload(archive, results(life))
    report = prove(life)
    assert (only(report).found, report.outcome) == (2, ProofOutcome.PROVEN)
    life.associate("b")
    life.receive("1.2.4.7", association="b")
    assert [row["sop_instance_uid"] for row in prove(life).ledger.unplanned] == []
    report = reconcile(life.ledger, life.settings, Scope(), spool=life.spool)
    assert [row["sop_instance_uid"] for row in report.ledger.unplanned] == ["1.2.4.7"]
    life.planner.plan()
    report = reconcile(life.ledger, life.settings, Scope(), spool=life.spool)
    assert [row["state"] for row in report.ledger.unfinished] == ["planned"]
    assert report.spool is not None
    assert {row["kind"] for row in report.spool.faults} == {"result"}
    assert sum(life.retention.sweep_orphans(shard) for shard in range(4)) == 0
    life.ledger.engine.dispose()


@pytest.mark.orthanc
def test_a_whole_node_proves_its_work_down_to_the_bytes(
    tmp_path: Path, running_node: RunningNode, archive: Orthanc
) -> None:
    series = ct_series(3, size=(64, 64))
    running_node.configure({"pacs": ("ORTHANC", archive.dicom_port)})
    running_node.start()
    assert send(series, running_node.port, tmp_path) == [0] * 3
    running_node.wait(lambda states: states["delivered"] == 3)
    printed = running_node.command("audit", "reconcile", "--spool", "--json")
    document = json.loads(printed)
    assert document["verdict"] == "proven"
    assert document["destinations"][0]["found"] == 3
    assert document["spool"] == {"checked": 6, "faults": [], "unknown": []}
    assert str(series[0].PatientName) not in printed

    gone = next(iter(set(archive.instances())))
    archive.request(f"/instances/{archive.instances()[gone]}", method="DELETE")
    printed = running_node.command("audit", "reconcile", check=False)
    assert gone in printed
    assert "not proven" in printed

"""What the proof says of a ledger, its destinations and its spool."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import delete, select, update
from typer.testing import CliRunner

from dicom_node.audit.reconcile import DestinationProof, ProofOutcome, Report, reconcile
from dicom_node.cli import app
from dicom_node.errors import ConfigError, FailItem
from dicom_node.intake.adoption import adopt
from dicom_node.ledger import recall
from dicom_node.ledger.proof import Scope
from dicom_node.ledger.tables import DeliveryRow, InstanceRow, ResultRow, WorkItemRow
from dicom_node.network.request.find import Holdings
from dicom_node.network.request.scu import NoAnswer, Trouble
from dicom_node.settings import DestinationSettings
from tests.support.factories import ct_slice, to_bytes
from tests.support.ledgers import TWO_ROUTES, Life

pytestmark = pytest.mark.holds(number=14)

FILES = 4 + 4 * 2
SERIES = "1.2.99.1"
EVERYTHING = Scope()


class Archives:
    """Destinations that say they hold what `held` has of them."""

    def __init__(self, *, limit: int | None = None, says_so: bool = True) -> None:
        self.held: dict[str, set[str]] = {}
        self.silent: set[str] = set()
        self.questions: list[tuple[str, str, str, str]] = []
        self._limit = limit
        self._says_so = says_so

    @contextmanager
    def __call__(self, destination: DestinationSettings) -> Iterator[Archive]:
        yield Archive(self, destination.name)

    def ask(self, name: str, study: str, series: str, uid: str) -> Holdings:
        self.questions.append((name, study, series, uid))
        if name in self.silent:
            raise NoAnswer(Trouble.NO_CONTEXT, "it does not offer C-FIND")
        held = self.held.get(name, set())
        matches = sorted(held & {uid} if uid else held)
        cut = matches[: self._limit]
        return Holdings(frozenset(cut), len(cut) == len(matches) or not self._says_so)


class Archive:
    def __init__(self, archives: Archives, name: str) -> None:
        self._archives = archives
        self._name = name

    def instances(self, study_uid: str, series_uid: str, sop_instance_uid: str = "") -> Holdings:
        return self._archives.ask(self._name, study_uid, series_uid, sop_instance_uid)


@pytest.fixture
def life(tmp_path: Path) -> Iterator[Life]:
    life = Life(tmp_path / "spool")
    life.associate()
    yield life
    life.close()


def received(life: Life, count: int = 4) -> list[str]:
    """Receive and plan a series; its results have one series of their own."""
    uids = life.receive_series(count)
    life.release()
    return uids


def denoised(life: Life) -> None:
    life.denoise_all()
    with life.ledger.write() as unit:
        unit.session.execute(update(ResultRow).values(series_uid=SERIES))


def delivered(life: Life, *, count: int = 4) -> Archives:
    """A study that has gone the whole way, and destinations that hold it."""
    received(life, count)
    denoised(life)
    life.deliver_all()
    archives = Archives()
    for name, uid in life.rows(
        select(DeliveryRow.destination, ResultRow.sop_instance_uid).join(
            ResultRow, ResultRow.id == DeliveryRow.result_id
        )
    ):
        archives.held.setdefault(name, set()).add(uid)
    return archives


def prove(life: Life, archives: Archives, scope: Scope = EVERYTHING, **how: object) -> Report:
    return reconcile(life.ledger, life.settings, scope, finder_of=archives, **how)  # type: ignore[arg-type]


def at(report: Report, name: str) -> DestinationProof:
    return next(each for each in report.destinations if each.destination == name)


def test_a_study_that_is_where_it_should_be_is_proven(life: Life) -> None:
    archives = delivered(life)
    report = prove(life, archives)
    assert report.outcome is ProofOutcome.PROVEN
    assert report.ledger.instances == 4
    assert report.ledger.work_items["delivered"] == 8
    assert [(each.destination, each.delivered, each.found) for each in report.destinations] == [
        ("archive", 4, 4),
        ("pacs", 8, 8),
    ]
    assert len(archives.questions) == 2


def test_nothing_is_changed_by_it(life: Life) -> None:
    archives = delivered(life)
    tables = (InstanceRow, WorkItemRow, DeliveryRow)
    before = [life.rows(select(table.id, table.state)) for table in tables]
    prove(life, archives, spool=life.spool)
    assert [life.rows(select(table.id, table.state)) for table in tables] == before


def test_what_a_destination_lost_is_named(life: Life) -> None:
    archives = delivered(life)
    lost = sorted(archives.held["pacs"])[0]
    archives.held["pacs"].remove(lost)
    report = prove(life, archives)
    assert report.outcome is ProofOutcome.LOST
    assert [one.sop_instance_uid for one in at(report, "pacs").missing] == [lost]
    assert at(report, "pacs").found == 7
    assert not at(report, "archive").missing


def test_a_destination_that_lost_all_is_asked_once(life: Life) -> None:
    archives = delivered(life)
    archives.held["pacs"] = set()
    assert len(at(prove(life, archives), "pacs").missing) == 8
    assert len([question for question in archives.questions if question[0] == "pacs"]) == 1


@pytest.mark.parametrize("says_so", [True, False])
def test_a_destination_that_limits_its_answers_is_asked_one_by_one(
    life: Life, says_so: bool
) -> None:
    archives = Archives(limit=3, says_so=says_so)
    archives.held = delivered(life).held
    lost = sorted(archives.held["pacs"])[-1]
    archives.held["pacs"].remove(lost)
    report = prove(life, archives)
    assert [one.sop_instance_uid for one in at(report, "pacs").missing] == [lost]
    assert (at(report, "pacs").found, at(report, "archive").found) == (7, 4)


def test_a_destination_that_never_says_all_is_unprovable(life: Life) -> None:
    archives = Archives(limit=0)
    archives.held = delivered(life).held
    report = prove(life, archives)
    assert report.outcome is ProofOutcome.UNPROVABLE
    assert at(report, "pacs").unprovable == 8
    assert at(report, "pacs").reason


def test_one_destination_without_c_find_does_not_hide_what_another_lost(life: Life) -> None:
    archives = delivered(life)
    archives.silent = {"archive"}
    report = prove(life, archives)
    assert report.outcome is ProofOutcome.UNPROVABLE
    assert (at(report, "archive").unprovable, at(report, "archive").missing) == (4, ())
    assert "C-FIND" in at(report, "archive").reason
    assert at(report, "pacs").found == 8
    archives.held["pacs"].pop()
    assert prove(life, archives).outcome is ProofOutcome.LOST


def test_a_destination_that_the_configuration_dropped_is_unprovable(tmp_path: Path) -> None:
    life = Life(tmp_path)
    life.associate()
    archives = delivered(life)
    routes = [{**TWO_ROUTES["routes"][0], "destinations": ["pacs"]}]
    tree = {**TWO_ROUTES, "destinations": TWO_ROUTES["destinations"][:1], "routes": routes}
    later = Life(tmp_path, url=f"sqlite:///{tmp_path / 'ledger.sqlite'}", tree=tree)
    report = prove(later, archives)
    assert report.outcome is ProofOutcome.UNPROVABLE
    assert at(report, "archive").unprovable == 4
    assert "configuration" in at(report, "archive").reason


def test_work_under_way_is_listed_with_since_when(life: Life) -> None:
    uids = received(life, 2)
    report = prove(life, Archives())
    assert report.outcome is ProofOutcome.UNPROVABLE
    assert [row["sop_instance_uid"] for row in report.ledger.unplanned] == uids
    life.planner.plan()
    planned_at = life.clock()
    life.clock.advance(3600)
    report = prove(life, Archives())
    assert not report.ledger.unplanned
    assert [(row["state"], row["since"]) for row in report.ledger.unfinished] == [
        ("planned", planned_at)
    ] * 4
    denoised(life)
    report = prove(life, Archives())
    assert {row["state"] for row in report.ledger.unfinished} == {"denoised"}
    assert {row["since"] for row in report.ledger.unfinished} == {life.clock()}
    assert at(report, "pacs").waiting == 4
    assert report.outcome is ProofOutcome.UNPROVABLE


def test_what_failed_waits_for_a_person(life: Life) -> None:
    received(life, 1)
    denoised(life)
    life.deliver_all(delivered=False)
    report = prove(life, Archives())
    assert report.outcome is ProofOutcome.LOST
    assert {row["route"] for row in report.ledger.failed} == {"ct", "soft"}
    assert all(row["reason"] for row in report.ledger.failed)
    assert at(report, "pacs").failed == 2


def test_what_passed_is_proven_and_what_is_unreadable_is_not(life: Life) -> None:
    life.receive("1.2.4.1", data=to_bytes(ct_slice(size=(4, 4), Modality="MR")))
    life.denoise_all()
    report = prove(life, Archives())
    assert report.outcome is ProofOutcome.PROVEN
    assert report.ledger.work_items["passed"] == 1
    life.receive("1.2.4.2", data=b"\xff" * 64)
    life.denoise_all()
    report = prove(life, Archives())
    assert report.outcome is ProofOutcome.LOST
    assert [row["sop_instance_uid"] for row in report.ledger.failed] == ["1.2.4.2"]


def test_an_instance_that_no_work_item_accounts_for_is_a_contradiction(life: Life) -> None:
    archives = delivered(life, count=1)
    with life.ledger.write() as unit:
        unit.session.execute(delete(DeliveryRow))
        unit.session.execute(delete(ResultRow))
        unit.session.execute(delete(WorkItemRow))
    report = prove(life, archives)
    assert report.outcome is ProofOutcome.LOST
    assert [row["sop_instance_uid"] for row in report.ledger.contradictions] == ["1.2.4.1"]


def test_delivered_without_every_delivery_is_a_contradiction(life: Life) -> None:
    archives = delivered(life, count=1)
    with life.ledger.write() as unit:
        unit.session.execute(delete(DeliveryRow).where(DeliveryRow.destination == "archive"))
    report = prove(life, archives)
    assert report.outcome is ProofOutcome.LOST
    assert [row["route"] for row in report.ledger.contradictions] == ["ct"]


def test_what_is_sent_again_is_waiting_not_lost(life: Life) -> None:
    archives = delivered(life, count=1)
    with life.ledger.write() as unit:
        items = list(unit.session.execute(select(WorkItemRow.id)).scalars())
        recall.retry(unit, items)
    report = prove(life, archives)
    assert report.outcome is ProofOutcome.UNPROVABLE
    assert at(report, "pacs").waiting == 2
    assert not report.ledger.contradictions


def test_time_and_destination_limit_what_is_asked(life: Life) -> None:
    archives = delivered(life)
    begin = life.clock() - timedelta(days=1)
    assert prove(life, archives, Scope(until=begin)).ledger.instances == 0
    assert prove(life, archives, Scope(since=begin)).ledger.instances == 4
    report = prove(life, archives, destination="archive")
    assert [each.destination for each in report.destinations] == ["archive"]
    with pytest.raises(ConfigError, match="elsewhere"):
        prove(life, archives, destination="elsewhere")
    with pytest.raises(FailItem, match=r"1\.2\.77"):
        prove(life, archives, Scope(study_uid="1.2.77"))


def stored(life: Life) -> tuple[Path, Path]:
    """Where an instance and a result are; all have files."""
    life.write_results()
    ((instance,),) = life.rows(select(InstanceRow.path).limit(1))
    ((result,),) = life.rows(select(ResultRow.path).limit(1))
    return life.spool.path(instance), life.spool.path(result)


def test_the_files_of_the_spool_are_read(life: Life) -> None:
    archives = delivered(life)
    instance, result = stored(life)
    report = prove(life, archives, spool=life.spool)
    assert report.spool is not None
    assert (report.spool.checked, report.spool.faults) == (FILES, [])
    assert report.outcome is ProofOutcome.PROVEN

    instance.write_bytes(instance.read_bytes()[:-1] + b"1")
    result.unlink()
    report = prove(life, archives, spool=life.spool)
    assert report.spool is not None
    assert [(row["kind"], row["fault"].partition(";")[0]) for row in report.spool.faults] == [
        ("instance", "the bytes in the spool are not those that were received"),
        ("result", "its file is no longer in the spool"),
    ]
    assert report.outcome is ProofOutcome.LOST


def test_a_ledger_that_knows_less_than_the_spool_proves_nothing(life: Life) -> None:
    """It was lost and begun anew, or restored from an older backup."""
    archives = delivered(life)
    instance, _ = stored(life)
    other = instance.with_name("1.2.3.9999-x.dcm")
    other.write_bytes(instance.read_bytes().replace(b"1.2.4", b"1.2.5"))
    os.utime(other, (0, 0))
    report = prove(life, archives, spool=life.spool)
    assert report.spool is not None
    assert [row["path"] for row in report.spool.unknown] == [life.spool.name(other)]
    assert report.outcome is ProofOutcome.LOST
    adopt(life.ledger, life.spool, "NODE")
    assert prove(life, archives, spool=life.spool).outcome is ProofOutcome.UNPROVABLE


def test_only_files_of_what_is_asked_about_are_read(life: Life) -> None:
    archives = delivered(life)
    stored(life)
    begin = life.clock() - timedelta(days=1)
    for scope, files in ((Scope(since=begin), FILES), (Scope(until=begin), 0)):
        report = prove(life, archives, scope, spool=life.spool)
        assert report.spool is not None
        assert report.spool.checked == files


@pytest.mark.parametrize("content", [b"", b"short", b"\0" * 132 + b"\xff" * 12])
def test_a_damaged_file_is_a_fault_and_no_error(life: Life, content: bytes) -> None:
    archives = delivered(life)
    instance, _ = stored(life)
    instance.write_bytes(content)
    report = prove(life, archives, spool=life.spool)
    assert report.spool is not None
    assert [row["kind"] for row in report.spool.faults] == ["instance"]


@pytest.fixture
def config(life: Life, tmp_path: Path) -> Path:
    path = tmp_path / "node.toml"
    path.write_text(
        f'[storage]\npath = "{life.folder}"\n[[destinations]]\nname = "pacs"\nae_title = "PACS"\n'
        'host = "127.0.0.1"\nport = 1\ntimeout_seconds = 2\n'
    )
    return path


def run(config: Path, *words: str) -> tuple[int, str]:
    command = ["audit", "reconcile", "--config", str(config), *words]
    result = CliRunner(env={"COLUMNS": "200"}).invoke(app, command)
    return result.exit_code, result.output


def test_the_command_ends_with_the_verdict(life: Life, config: Path) -> None:
    assert run(config)[0] == 0
    delivered(life, count=1)
    code, printed = run(config)
    assert code == 3
    assert "refused the connection" in printed
    code, printed = run(config, "--json", "--study", "1.2.3")
    document = json.loads(printed)
    assert code == 3
    assert document["verdict"] == "unprovable"
    assert {each["destination"]: each["unprovable"] for each in document["destinations"]} == {
        "archive": 1,
        "pacs": 2,
    }
    code, printed = run(config, "--spool")
    assert code == 1
    assert "its file is no longer in the spool" in printed
    assert run(config, "--study", "1.2.77")[0] == 1

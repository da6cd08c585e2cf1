"""What a person asks the ledger: plain words, valid JSON, exit codes, no patient data."""

from __future__ import annotations

import csv
import io
import json
import logging
import sqlite3
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from click.testing import Result
from sqlalchemy import text
from typer.testing import CliRunner

from dicom_node.cli import app, audit
from dicom_node.ledger.tables import Base
from tests.support.factories import ct_slice, to_bytes
from tests.support.ledgers import TWO_ROUTES, Life

MARKERS = ("MARKER", "19010203")
PATIENT = {
    "PatientName": "PHI^MARKER", "PatientID": "PHI-MARKER", "PatientBirthDate": "19010203",
    "AccessionNumber": "MARKER", "StudyDescription": "MARKER", "SeriesDescription": "MARKER",
    "ReferringPhysicianName": "MARKER^DR", "InstitutionName": "MARKER", "StudyID": "MARKER",
    "OtherPatientIDs": "MARKER", "PatientComments": "MARKER",
}  # fmt: skip
CONFIG = """
[storage]
path = "{folder}"
[log]
format = "json"
[[destinations]]
name = "pacs"
ae_title = "PACS"
host = "127.0.0.1"
[[destinations]]
name = "archive"
ae_title = "ARCHIVE"
host = "127.0.0.1"
[[routes]]
name = "ct"
when = {{ Modality = "CT", SeriesDescription = {{ regex = "[XYZ]|[/]", not = true }} }}
model = "toy@1.0.0"
destinations = ["pacs", "archive"]
"""


@pytest.fixture(autouse=True)
def log_of_the_tests() -> Iterator[None]:
    """Commands configure logging for their process, which here is that of the tests."""
    root = logging.getLogger()
    before = root.handlers[:], root.level, sys.excepthook, threading.excepthook
    yield
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    sys.excepthook, threading.excepthook = before[2:]


class Shell:
    """Runs commands on one configuration."""

    def __init__(self, config: Path) -> None:
        self.config = config

    def run(self, *arguments: str) -> Result:
        result = CliRunner(env={"COLUMNS": "300"}).invoke(
            app, [*arguments, "--config", str(self.config)]
        )
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert not any(marker in result.stdout + result.stderr for marker in MARKERS)
        return result

    def json(self, *arguments: str) -> Any:
        result = self.run(*arguments, "--json")
        assert result.exit_code == 0
        return json.loads(result.stdout)


def receive(life: Life, numbers: Sequence[int], **attributes: Any) -> None:
    for number in numbers:
        uid = f"1.2.4.{number}"
        values = PATIENT | {
            "StudyInstanceUID": "1.2.3", "SeriesInstanceUID": "1.2.4", "SOPInstanceUID": uid,
        } | attributes  # fmt: skip
        life.receive(uid, data=to_bytes(ct_slice(size=(4, 4), **values)))


@pytest.fixture
def life(tmp_path: Path) -> Iterator[Life]:
    tree = TWO_ROUTES | {"routes": TWO_ROUTES["routes"][:1]}
    life = Life(tmp_path / "spool", tree=tree)
    life.associate()
    yield life
    life.close()


@pytest.fixture
def shell(life: Life, tmp_path: Path) -> Shell:
    config = tmp_path / "node.toml"
    config.write_text(CONFIG.format(folder=life.folder), encoding="utf-8")
    return Shell(config)


@pytest.fixture
def busy(life: Life) -> Life:
    """Three delivered, three refused by the archive, a conflict, one broken, one other modality."""
    receive(life, range(1, 4))
    life.denoise_all()
    life.deliver_all()
    receive(life, range(4, 7))
    life.denoise_all()
    for parcel_id in life.due_parcels("pacs"):
        parcel = life.take(parcel_id)
        assert parcel is not None
        for each in parcel.deliveries:
            life.answer(parcel, each.delivery_id)
        life.end_try(parcel)
    life.deliver_all(delivered=False)
    life.receive("1.2.4.1", version=1, data=b"PHI^MARKER")
    life.receive("1.2.4.7", data=b"PHI^MARKER" * 100)
    receive(life, [8], Modality="MR")
    life.planner.plan()
    return life


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("study", "list"), "no studies yet"),
        (("audit", "list"), None),
        (("destination", "list"), "pacs"),
        (("destination", "failed"), "no dead letters"),
        (("study", "retry", "--all-failed"), "nothing to retry"),
        (("study", "conflicts"), "no conflicts"),
    ],
)
def test_an_empty_ledger_is_no_error(shell: Shell, arguments: tuple[str, ...], words: str) -> None:
    result = shell.run(*arguments)
    assert result.exit_code == 0
    if words is not None:
        assert words in result.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ("study", "list"),
        ("study", "list", "--state", "failed"),
        ("study", "show", "1.2.3"),
        ("study", "show", "1.2.3", "--items"),
        ("study", "show", "(unreadable)"),
        ("destination", "list"),
        ("destination", "failed"),
        ("destination", "failed", "archive"),
        ("audit", "list"),
        ("audit", "list", "--study", "1.2.3"),
        ("route", "list"),
        ("study", "conflicts"),
    ],
)
def test_json_is_one_document_on_standard_output(
    shell: Shell, busy: Life, arguments: tuple[str, ...]
) -> None:
    assert shell.json(*arguments)
    assert shell.run(*arguments).exit_code == 0


def test_the_list_counts_work_items_by_state(shell: Shell, busy: Life) -> None:
    rows = {row["study_uid"]: row for row in shell.json("study", "list")}
    assert rows["1.2.3"]["delivered"] == 3
    assert rows["1.2.3"]["failed"] == 3
    assert rows["1.2.3"]["passed"] == 1
    assert rows["(unreadable)"]["failed"] == 2


def test_a_study_is_shown_with_reasons(shell: Shell, busy: Life) -> None:
    text = shell.run("study", "show", "1.2.3").stdout
    assert "archive: said" in text
    assert "no route matches" in text


def test_an_unknown_study_is_an_error_in_words(shell: Shell, busy: Life) -> None:
    result = shell.run("study", "show", "9.9")
    assert result.exit_code == 1
    assert "no study 9.9" in result.stderr
    assert result.stdout == ""


def test_dead_letters_are_listed_and_sent_again(shell: Shell, busy: Life) -> None:
    assert len(shell.json("destination", "failed")) == 3
    result = shell.run("study", "retry", "1.2.3")
    assert "3 to deliver again" in result.stdout
    busy.deliver_all()
    assert shell.json("destination", "failed") == []
    assert shell.json("study", "list")[0]["failed"] in (0, 2)


def test_retrying_all_leaves_conflicts_alone(shell: Shell, busy: Life) -> None:
    result = shell.run("study", "retry", "--all-failed")
    assert "1 to denoise again, 3 to deliver again, 1 left" in result.stdout


def test_a_conflict_is_listed_and_discarded(shell: Shell, busy: Life) -> None:
    (conflict,) = shell.json("study", "conflicts")
    assert conflict["sop_instance_uid"] == "1.2.4.1"
    assert conflict["bytes_kept"] is True
    assert conflict["calling_ae_title"] == "CT1"
    assert conflict["sha256"] != conflict["first_sha256"]
    (kept,) = busy.rows(
        text("SELECT path FROM instance WHERE state != 'conflict' AND sop_instance_uid = '1.2.4.1'")
    )
    (aside,) = busy.rows(text("SELECT path FROM instance WHERE state = 'conflict'"))
    result = shell.run("study", "conflicts", "--discard", str(conflict["conflict"]))
    assert result.exit_code == 0
    assert "1 discarded" in result.stdout
    assert not (busy.folder / aside.path).exists()
    assert (busy.folder / kept.path).exists()
    assert shell.json("study", "conflicts") == []
    rows = {row["study_uid"]: row for row in shell.json("study", "list")}
    assert rows["(unreadable)"]["failed"] == 1
    events = [json.loads(line) for line in shell.run("audit", "export").stdout.splitlines()]
    discarded = [each for each in events if each["event"] == "instance:person:discarded"]
    assert [each["sop_instance_uid"] for each in discarded] == ["1.2.4.1"]
    assert discarded[0]["detail"]["sha256"] == conflict["sha256"]


@pytest.mark.parametrize("which", ["1", "4711"])
def test_only_a_conflict_can_be_discarded(shell: Shell, busy: Life, which: str) -> None:
    (first,) = busy.rows(text("SELECT path FROM instance WHERE id = 1"))
    result = shell.run("study", "conflicts", "--discard", which)
    assert result.exit_code == 1
    assert f"no conflict {which}" in result.stderr
    assert (busy.folder / first.path).exists()
    assert len(shell.json("study", "conflicts")) == 1


def test_a_discarded_conflict_that_comes_again_is_listed_again(shell: Shell, busy: Life) -> None:
    (conflict,) = shell.json("study", "conflicts")
    shell.run("study", "conflicts", "--discard", str(conflict["conflict"]))
    busy.receive("1.2.4.1", version=1, data=b"PHI^MARKER")
    assert [each["bytes_kept"] for each in shell.json("study", "conflicts")] == [True]
    assert shell.run("study", "conflicts", "--discard", str(conflict["conflict"])).exit_code == 0
    assert shell.json("study", "conflicts") == []


def test_what_has_nothing_failed_says_how_to_send_it_again(shell: Shell, life: Life) -> None:
    receive(life, range(1, 4))
    life.denoise_all()
    life.deliver_all()
    result = shell.run("study", "retry", "1.2.3")
    assert result.exit_code == 0
    assert "nothing to retry" in result.stdout
    assert "3 delivered: --delivered sends them again" in result.stdout
    assert "3 to deliver again" in shell.run("study", "retry", "1.2.3", "--delivered").stdout


def test_retry_of_an_unknown_study_is_an_error_in_words(shell: Shell, busy: Life) -> None:
    result = shell.run("study", "retry", "9.9")
    assert result.exit_code == 1
    assert "no study 9.9" in result.stderr


@pytest.mark.parametrize("arguments", [(), ("1.2.3", "--all-failed")])
def test_retry_wants_one_study_or_all(shell: Shell, life: Life, arguments: tuple[str, ...]) -> None:
    result = shell.run("study", "retry", *arguments)
    assert result.exit_code == 1
    assert "either" in result.stderr


def test_a_removed_destination_is_still_listed(shell: Shell, busy: Life) -> None:
    config = shell.config.read_text(encoding="utf-8")
    shell.config.write_text(
        config.replace('"archive"', '"other"').replace('["pacs", "other"]', '["pacs"]'),
        encoding="utf-8",
    )
    rows = {row["destination"]: row for row in shell.json("destination", "list")}
    assert rows["archive"]["address"] == "(removed)"
    assert rows["archive"]["failed"] == 3


def test_an_export_has_every_event_in_order(shell: Shell, busy: Life, tmp_path: Path) -> None:
    lines = shell.run("audit", "export").stdout.splitlines()
    events = [json.loads(line) for line in lines]
    assert [event["id"] for event in events] == sorted(event["id"] for event in events)
    assert len(events) == len(busy.rows(text("SELECT id FROM audit")))
    delivered = next(e for e in events if e["event"] == "delivery:destination:answered")
    assert delivered["model_name"] == "toy"
    assert delivered["sop_instance_uid"].startswith("1.2.4.")
    path = tmp_path / "audit.csv"
    shell.run("audit", "export", str(path), "--form", "csv")
    rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))
    assert len(rows) == len(events)
    assert rows[0]["event"] == events[0]["event"]
    assert not any(marker in path.read_text(encoding="utf-8") for marker in MARKERS)


def test_an_export_holds_no_transaction_while_it_writes(
    shell: Shell, busy: Life, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """However long it takes: SQLite's log could not be emptied meanwhile."""
    monkeypatch.setattr(audit, "_AT_ONCE", 3)
    kept: list[int] = []

    def dumps(row: Any, **how: Any) -> str:
        with closing(sqlite3.connect(busy.ledger.engine.url.database or "")) as connection:
            kept.append(connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0])
        return json.dumps(row, **how)

    monkeypatch.setattr(audit, "json", SimpleNamespace(dumps=dumps))
    path = tmp_path / "audit.jsonl"
    shell.run("audit", "export", str(path))
    events = path.read_text(encoding="utf-8").splitlines()
    assert len(events) == len(busy.rows(text("SELECT id FROM audit"))) == len(kept)
    assert set(kept) == {0}


def test_an_export_can_be_narrowed_by_time(shell: Shell, busy: Life) -> None:
    everything = shell.run("audit", "export").stdout.splitlines()
    early = shell.run("audit", "export", "--until", "2026-01-01T00:00:05").stdout.splitlines()
    late = shell.run("audit", "export", "--since", "2026-01-01T00:00:05").stdout.splitlines()
    assert early
    assert late
    assert len(early) + len(late) == len(everything)


def test_an_export_to_nowhere_is_an_error_in_words(shell: Shell, life: Life) -> None:
    result = shell.run("audit", "export", "/no/such/folder/x.jsonl")
    assert result.exit_code == 1
    assert "cannot be written" in result.stderr


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({}, "matches"),
        ({"Modality": "MR"}, "Modality is 'CT'"),
        ({"SeriesDescription": "X"}, "not (SeriesDescription matches '[XYZ]|[/]')"),
    ],
)
def test_a_route_is_explained(
    shell: Shell, tmp_path: Path, attributes: dict[str, Any], words: str
) -> None:
    path = tmp_path / "image.dcm"
    path.write_bytes(to_bytes(ct_slice(size=(4, 4), **(PATIENT | attributes))))
    result = shell.run("route", "explain", str(path))
    assert result.exit_code == 0
    assert words in " ".join(result.stdout.split())


def test_what_is_no_dicom_is_explained_too(shell: Shell, tmp_path: Path) -> None:
    path = tmp_path / "image.dcm"
    path.write_bytes(b"PHI^MARKER")
    result = shell.run("route", "explain", str(path))
    assert result.exit_code == 1
    assert "image.dcm" in result.stderr


def test_conditions_are_listed_as_they_are_written(shell: Shell) -> None:
    assert "'[XYZ]|[/]'" in shell.run("route", "list").stdout


def test_a_ledger_of_another_release_is_named(shell: Shell, life: Life) -> None:
    with life.ledger.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0003'"))
    result = shell.run("study", "list")
    assert result.exit_code == 1
    assert "db upgrade" in result.stderr


def test_a_new_database_is_made_by_upgrade(tmp_path: Path) -> None:
    config = tmp_path / "node.toml"
    config.write_text(CONFIG.format(folder=tmp_path / "fresh"), encoding="utf-8")
    shell = Shell(config)
    assert shell.run("study", "list").exit_code == 1
    assert shell.run("db", "upgrade").exit_code == 0
    assert shell.run("db", "upgrade").exit_code == 0
    assert shell.run("study", "list").exit_code == 0


def test_the_tables_are_those_of_the_migrations(life: Life) -> None:
    with life.ledger.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgresql://node:hush@127.0.0.1:1/node", "ledger"),
        ("postgresql://node:hush@no-such-host.invalid/node", "ledger"),
        ("postgresql://node:hush@h:port/node", "[database] url"),
        ("nonsense", "[database] url"),
        ("mysql://node:hush@h/node", "[database] url"),
        ("sqlite:////proc/no/such/ledger.sqlite", "ledger"),
    ],
)
@pytest.mark.parametrize("command", [("study", "list"), ("db", "upgrade"), ("audit", "export")])
def test_a_database_that_cannot_be_used_is_said_in_words(
    tmp_path: Path, url: str, words: str, command: tuple[str, ...]
) -> None:
    config = tmp_path / "node.toml"
    base = CONFIG.format(folder=tmp_path / "spool")
    config.write_text(base + f'[database]\nurl = "{url}"\n', encoding="utf-8")
    result = Shell(config).run(*command)
    assert result.exit_code == 1
    assert words in result.stderr
    assert "hush" not in result.stderr
    assert "Traceback" not in result.stderr


def test_config_show_masks_secrets(tmp_path: Path) -> None:
    config = tmp_path / "node.toml"
    config.write_text('[database]\nurl = "postgresql://u:hush@h/d"\n', encoding="utf-8")
    result = Shell(config).run("config", "show")
    assert "hush" not in result.stdout
    assert json.loads(result.stdout)["node"]["port"] == 11112


def test_config_init_does_not_replace_a_file(tmp_path: Path) -> None:
    path = tmp_path / "node.toml"
    run = CliRunner().invoke
    assert run(app, ["config", "init", str(path)]).exit_code == 0
    written = path.read_text(encoding="utf-8")
    path.write_text("mine", encoding="utf-8")
    assert run(app, ["config", "init", str(path)]).exit_code == 1
    assert path.read_text(encoding="utf-8") == "mine"
    assert run(app, ["config", "init", str(path), "--force"]).exit_code == 0
    assert path.read_text(encoding="utf-8") == written
    assert run(app, ["config", "init", "/no/such/folder/node.toml"]).exit_code == 1

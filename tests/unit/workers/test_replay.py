"""A past result is made again as it was made, or it is said why not; nothing else changes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from typing import Any

import pytest
import typer
from pydicom import dcmread
from sqlalchemy import select, update
from typer.testing import CliRunner

from dicom_node.cli.replay import replay
from dicom_node.errors import FailItem
from dicom_node.ledger import past
from dicom_node.ledger.audit_events import AuditEvent
from dicom_node.ledger.past import PastBatch
from dicom_node.ledger.tables import AuditRow, BatchRow, InstanceRow, ResultRow, WorkItemRow
from tests.support.ledgers import Life
from tests.support.past import SLICES, STUDY, Past, opened
from workers.replay import ReplayReport, _chunks

pytestmark = pytest.mark.holds(number=8)


def outcomes(found: list[ReplayReport]) -> list[str]:
    return [each.outcome for each in found]


def test_every_result_of_a_study_is_identical(was: Past) -> None:
    found = was.replay()
    assert outcomes(found) == ["identical"] * 5
    assert {each.model for each in found} == {"toy-ct@1.0.0"}
    assert all(each.identical and each.changed == () for each in found)
    (engine,) = {json.dumps(row[0], sort_keys=True) for row in was.rows(ResultRow.engine)}
    kept = {"model", "sha256", "engine", "precision", "device", "library", "threads", "tile",
            "batch", "node"}  # fmt: skip
    assert kept <= set(json.loads(engine))


def test_nothing_is_changed_but_the_audit_record(was: Past, made: Life) -> None:
    tables = (WorkItemRow.state, ResultRow.sha256, BatchRow.state, BatchRow.attempts)
    before = [was.rows(column) for column in tables]
    files = {path: path.stat().st_mtime_ns for path in made.spool.root.rglob("*.dcm")}
    events = len(was.rows(AuditRow.id))
    was.replay()
    assert [was.rows(column) for column in tables] == before
    assert files == {path: path.stat().st_mtime_ns for path in made.spool.root.rglob("*.dcm")}
    noted = was.rows(AuditRow.event, AuditRow.detail, AuditRow.work_item_id)[events:]
    assert [row[0] for row in noted] == [AuditEvent.RESULT_REPLAYED.value] * 5
    assert noted[0][1]["outcome"] == "identical"
    assert noted[0][1]["who"] == "tester@here"
    assert [row[2] for row in noted] == [row[0] for row in was.rows(WorkItemRow.id)]


def test_a_result_a_series_of_results_or_nothing_is_named(was: Past) -> None:
    results = was.rows(ResultRow.sop_instance_uid, ResultRow.series_uid)
    (one,) = was.replay(results[2][0])
    assert one.result == results[2][0]
    assert one.source == f"{SLICES}.3"
    assert len(was.replay(results[0][1])) == 4
    assert was.replay("1.2.3.4.5") == []


def test_other_settings_give_other_pixels_and_by_how_much(was: Past) -> None:
    plan = was.rows(BatchRow.plan)[0][0]
    was.change(BatchRow, plan=plan | {"strength": 0.5}, plan_sha256=None)
    found = was.replay()
    assert outcomes(found) == ["different"] * 5
    first = found[0]
    assert first.pixels is not None
    assert 0 < first.pixels <= 64 * 64
    assert first.largest is not None
    assert first.largest >= 1
    assert first.units == "HU"
    assert f"{first.pixels} of 4096 pixels differ, by at most {first.largest:g} HU" == first.said


def test_a_plan_that_was_changed_in_the_ledger_is_not_replayed(was: Past) -> None:
    plan = was.rows(BatchRow.plan)[0][0]
    was.change(BatchRow, plan=plan | {"strength": 0.5})
    with pytest.raises(FailItem, match="is not what was planned"):
        was.replay()


def test_another_header_over_the_same_pixels_is_told_apart(was: Past, made: Life) -> None:
    node = opened(was.folder, made.spool, {"results": {"device_serial_number": "7"}})
    was.node = node
    found = was.replay()
    assert outcomes(found) == ["same pixels"] * 5
    assert found[0].identical
    assert found[0].pixels == 0


def test_sources_that_are_no_longer_kept_cannot_be_replayed(was: Past) -> None:
    was.change(InstanceRow, path=None)
    found = was.replay()
    assert outcomes(found) == ["not replayed"] * 5
    assert "no longer kept" in found[0].said
    assert "keep_hours" in found[0].said


def test_a_source_that_was_changed_is_not_taken(was: Past) -> None:
    was.change(InstanceRow, sha256="0" * 64)
    found = was.replay()
    assert outcomes(found) == ["not replayed"] * 5
    assert "not those that were" in found[0].said


def test_without_the_bytes_of_the_result_their_hash_is_compared(was: Past) -> None:
    was.change(ResultRow, path=None)
    assert outcomes(was.replay()) == ["identical"] * 5
    was.change(ResultRow, sha256="0" * 64)
    found = was.replay()
    assert outcomes(found) == ["different"] * 5
    assert found[0].pixels is None
    assert "no longer kept" in found[0].said


def test_a_version_whose_file_was_changed_is_not_run(was: Past) -> None:
    file = was.models / "toy-ct" / "1.0.0" / "model.onnx"
    file.write_bytes(file.read_bytes() + b"\0")
    found = was.replay()
    assert outcomes(found) == ["not replayed"] * 5
    assert "model.onnx has sha256" in found[0].said


def test_a_version_that_was_deleted_is_named(was: Past) -> None:
    shutil.rmtree(was.models / "toy-ct")
    found = was.replay()
    assert outcomes(found) == ["not replayed"] * 5
    assert "toy-ct@1.0.0" in found[0].said


def test_a_version_of_other_bytes_is_not_the_one(was: Past) -> None:
    was.change(ResultRow, model_sha256="0" * 64)
    found = was.replay()
    assert outcomes(found) == ["not replayed"] * 5
    assert "install that one again" in found[0].said


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"engine": "tensorrt"}, "not on this machine"),
        ({"engine": "toy"}, "no engine toy in f32"),
        ({"precision": "f4"}, "no engine openvino in f4"),
        ({"tile": None, "precision": None}, "does not say which precision and tile"),
    ],
)
def test_an_engine_that_is_not_here_is_named(
    was: Past, changes: dict[str, str | None], said: str
) -> None:
    was.engine(**changes)
    found = was.replay()
    assert outcomes(found) == ["not replayed"] * 5
    assert said in found[0].said


def test_what_the_machine_changed_is_told(was: Past) -> None:
    was.engine(library="2020.1", node="0.0.1")
    found = was.replay()[0]
    assert found.identical
    assert found.changed[0] == "node was 0.0.1, is 0.1.0"
    assert found.changed[1].startswith("library was 2020.1, is 20")


def test_a_record_of_before_the_nodes_version_was_kept_is_enough(was: Past) -> None:
    was.engine(node=None)
    assert outcomes(was.replay()) == ["identical"] * 5


def test_one_that_cannot_be_replayed_keeps_no_other_from_it(was: Past) -> None:
    with was.node.ledger.write() as unit:
        unit.session.execute(update(InstanceRow).where(InstanceRow.id == 2).values(path=None))
    assert outcomes(was.replay()) == ["identical", "not replayed", *["identical"] * 3]


def test_what_an_engine_took_together_is_taken_together(was: Past) -> None:
    with was.node.ledger.read() as session:
        batch = past.batch(session, 1)
    three = frozenset({3})
    assert [[each.item.work_item_id for each in chunk] for chunk in _chunks(batch, three)] == [[3]]
    together = {
        item: replaced(each, {**each.engine, "batch": "8"}) for item, each in batch.results.items()
    }
    grouped = PastBatch(batch.batch, batch.items, together)
    (chunk,) = _chunks(grouped, three)
    assert [each.item.work_item_id for each in chunk] == [1, 2, 3, 4]
    was.engine(batch="4")
    result = was.rows(ResultRow.sop_instance_uid)[2][0]
    (found,) = was.replay(result)
    assert found.result == result


def replaced(each: Any, engine: Mapping[str, str]) -> Any:
    values = {name: getattr(each, name) for name in type(each).__slots__}
    return type(each)(**(values | {"engine": engine}))


# --- the command ---------------------------------------------------------------------------------


def run(was: Past, made: Life, *arguments: str) -> Any:
    config = was.folder / "node.toml"
    config.write_text(
        f'[storage]\npath = "{made.spool.root}"\n'
        f'[database]\nurl = "sqlite:///{was.folder / "ledger.sqlite"}"\n'
        f'[models]\npath = "{was.models}"\nunsigned = "accept"\n[log]\nlevel = "error"\n',
        encoding="utf-8",
    )
    app = typer.Typer()
    app.command()(replay)
    return CliRunner().invoke(app, [*arguments, "--config", str(config)])


def test_the_command_says_identical(was: Past, made: Life) -> None:
    done = run(was, made, STUDY)
    assert done.exit_code == 0, done.output
    assert "5 of 5 results identical in every pixel (toy-ct@1.0.0)" in done.output
    done = run(was, made, STUDY, "--most", "2", "--json")
    assert [each["identical"] for each in json.loads(done.stdout)] == [True, True]


def test_the_command_says_what_is_not(was: Past, made: Life) -> None:
    plan = was.rows(BatchRow.plan)[0][0]
    was.change(BatchRow, plan=plan | {"strength": 0.5}, plan_sha256=None)
    done = run(was, made, STUDY, "--most", "3")
    assert done.exit_code == 3
    assert "pixels differ" in done.output
    assert "0 of 3 results identical" in done.output
    assert "3 of 5 tried" in done.output


def test_the_command_knows_no_such_result(was: Past, made: Life) -> None:
    done = run(was, made, "1.9.9")
    assert done.exit_code == 1
    assert "no results with the UID 1.9.9" in done.output


def test_results_can_be_read(made: Life) -> None:
    for (path,) in made.rows(select(ResultRow.path)):
        assert dcmread(made.spool.root / path).pixel_array.size

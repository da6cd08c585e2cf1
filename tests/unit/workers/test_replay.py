"""A past result is made again as it was made, or it is said why not; nothing else changes."""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer
from pydicom import dcmread
from pydicom.dataset import Dataset
from sqlalchemy import select, update
from typer.testing import CliRunner

from dicom_node.bell.outbox import SilentBell
from dicom_node.cli.replay import replay
from dicom_node.errors import FailItem
from dicom_node.ledger import past
from dicom_node.ledger.audit_events import AuditEvent
from dicom_node.ledger.engine import make_engine
from dicom_node.ledger.past import PastBatch
from dicom_node.ledger.tables import AuditRow, BatchRow, InstanceRow, ResultRow, WorkItemRow
from dicom_node.ledger.unit_of_work import Ledger
from dicom_node.models import Models
from dicom_node.node import Node
from dicom_node.settings import Settings
from dicom_node.spool.storage import Storage
from tests.support.factories import ct_slice, enhanced_ct, to_bytes
from tests.support.factories.models import model_version
from tests.support.ledgers import Life
from workers.engines import Denoisers
from workers.pipeline import Pipeline
from workers.replay import Replayed, Replayer, _chunks

pytestmark = pytest.mark.holds(number=8)

STUDY, SLICES = "1.2.3", "1.2.4"
SYNTAX = "1.2.840.10008.1.2.1"


def tree(models: Path) -> dict[str, Any]:
    return {
        "destinations": [{"name": "pacs", "ae_title": "PACS", "host": "127.0.0.1"}],
        "routes": [
            {"name": "ct", "when": {"Modality": "CT"}, "model": "toy-ct@1.0.0", "strength": 0.8,
             "destinations": ["pacs"]},
        ],
        "models": {"path": str(models), "unsigned": "accept"},
        "workers": {"engine": "openvino", "threads": 1},
    }  # fmt: skip


@dataclass
class Past:
    """A node that made results, and a copy of its ledger and models to do things to."""

    node: Node
    models: Path
    folder: Path

    def replay(self, uid: str = STUDY) -> list[Replayed]:
        with self.node.ledger.read() as session:
            wanted = past.named(session, uid)
        with Replayer(self.node) as replayer:
            return list(replayer.replay(wanted, "tester@here"))

    def change(self, row: Any, **values: Any) -> None:
        with self.node.ledger.write() as unit:
            unit.session.execute(update(row).values(**values))

    def rows(self, *columns: Any) -> list[Any]:
        with self.node.ledger.read() as session:
            return [tuple(row) for row in session.execute(select(*columns))]

    def engine(self, **changes: str | None) -> None:
        """Let the ledger say something else of the engines of then."""
        (first, *_) = self.rows(ResultRow.engine)
        said = {key: value for key, value in (first[0] | changes).items() if value is not None}
        self.change(ResultRow, engine=said)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Life]:
    """Four slices and an enhanced CT of three frames, denoised by a real engine."""
    folder = tmp_path_factory.mktemp("made")
    model_version(folder / "models")
    life = Life(folder / "node", tree=tree(folder / "models"))
    life.models = Models.open(life.settings, life.ledger)  # type: ignore[assignment]
    life.planner = life.another_planner()
    life.associate()
    objects = [
        ct_slice(seed=number, StudyInstanceUID=STUDY, SeriesInstanceUID=SLICES,
                 SOPInstanceUID=f"{SLICES}.{number}", InstanceNumber=number)
        for number in range(1, 5)
    ]  # fmt: skip
    objects.append(
        enhanced_ct(size=(64, 64), StudyInstanceUID=STUDY, SeriesInstanceUID="1.2.5",
                    SOPInstanceUID="1.2.5.1")
    )  # fmt: skip
    for number, each in enumerate(objects):
        receive(life, each, number)
    while life.planner.plan():
        pass
    life.clock.advance(10)
    life.planner.close_batches()
    node = life.node()
    pipeline = Pipeline(node, Denoisers(node.models, life.settings.workers))
    for batch_id in life.due_batches():
        pipeline.run(batch_id)
    yield life
    life.close()


def receive(life: Life, dataset: Dataset, number: int) -> None:
    data = to_bytes(dataset)
    uid = str(dataset.SOPInstanceUID)
    life.receive(uid, data=data, version=number)
    offset = 144 + int.from_bytes(data[140:144], "little")
    sha256 = hashlib.sha256(SYNTAX.encode() + b"\0" + data[offset:]).hexdigest()
    with life.ledger.write() as unit:
        unit.session.execute(
            update(InstanceRow).where(InstanceRow.sop_instance_uid == uid).values(sha256=sha256)
        )


@pytest.fixture
def was(made: Life, tmp_path: Path) -> Iterator[Past]:
    shutil.copytree(made.folder.parent / "models", tmp_path / "models")
    source = sqlite3.connect(made.folder / "ledger.sqlite")
    copy = sqlite3.connect(tmp_path / "ledger.sqlite")
    source.backup(copy)
    source.close()
    copy.close()
    past_ = Past(opened(tmp_path, made.storage), tmp_path / "models", tmp_path)
    yield past_
    past_.node.ledger.engine.dispose()


def opened(folder: Path, storage: Storage, more: Mapping[str, Any] | None = None) -> Node:
    url = f"sqlite:///{folder / 'ledger.sqlite'}"
    settings = Settings(
        storage={"path": folder}, database={"url": url},
        **(tree(folder / "models") | dict(more or {})),
    )  # fmt: skip
    ledger = Ledger(make_engine(url), SilentBell())
    return Node(settings, ledger, storage, Models.open(settings, ledger))


def outcomes(found: list[Replayed]) -> list[str]:
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
    files = {path: path.stat().st_mtime_ns for path in made.storage.root.rglob("*.dcm")}
    events = len(was.rows(AuditRow.id))
    was.replay()
    assert [was.rows(column) for column in tables] == before
    assert files == {path: path.stat().st_mtime_ns for path in made.storage.root.rglob("*.dcm")}
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
    node = opened(was.folder, made.storage, {"results": {"device_serial_number": "7"}})
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
        f'[storage]\npath = "{made.storage.root}"\n'
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
        assert dcmread(made.storage.root / path).pixel_array.size

"""A batch in a worker: each item ends as it must, whatever becomes of the others."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from sqlalchemy import select

from dicom_node.dicom.uids import result_series_uid, result_sop_instance_uid
from dicom_node.errors import FailItem, LedgerError, OutOfSpace, RetryLater
from dicom_node.ledger import batches
from dicom_node.ledger.states import WorkState
from dicom_node.ledger.tables import AuditRow, BatchRow, DeliveryRow, ResultRow, WorkItemRow
from dicom_node.process_names import process_name
from model_store.ref import ModelRef
from tests.support.denoising import (
    ONE_ROUTE,
    FakeDenoiser,
    FakeDenoisers,
    pipeline_of,
    reasons,
    receive,
    slice_bytes,
    states,
    work,
)
from tests.support.factories import ct_slice, to_bytes
from tests.support.ledgers import Life
from workers.pipeline import Pipeline


def spoil(life: Life, number: int, data: bytes | None) -> None:
    path = next((life.folder / "instances").glob(f"*/1.2.4.{number}-*"))
    if data is None:
        path.unlink()
    else:
        path.write_bytes(data)


def test_every_item_of_a_batch_gets_its_result_and_deliveries(
    life: Life, pipeline: Pipeline
) -> None:
    receive(life, 6)
    work(life, pipeline)
    assert states(life) == ["denoised"] * 6
    assert len(life.rows(select(DeliveryRow.id))) == 12
    assert {row.state for row in life.rows(select(BatchRow.state))} == {"done"}
    for row in life.rows(select(ResultRow.path, ResultRow.sop_instance_uid, ResultRow.size)):
        data = life.spool.root / row.path
        assert data.stat().st_size == row.size
        assert dcmread(data).SOPInstanceUID == row.sop_instance_uid


@pytest.mark.parametrize(
    ("stated", "recommended", "left"),
    [(None, 1.0, 0.5), (None, 0.5, 0.75), (0.25, 1.0, 0.875), (0.0, 1.0, 1.0)],
)
def test_results_are_as_strong_as_the_route_says_or_the_version_recommends(
    tmp_path: Path, denoisers: FakeDenoisers, stated: float | None, recommended: float, left: float
) -> None:
    route = ONE_ROUTE["routes"][0] | {"strength": stated}
    life = Life(tmp_path / "node", tree=ONE_ROUTE | {"routes": [route]})
    life.models.strengths = {"1.0.0": recommended}
    life.associate()
    before = np.full((16, 16), 200.0)
    data = to_bytes(
        ct_slice(
            before, StudyInstanceUID="1.2.3", SeriesInstanceUID="1.2.4", SOPInstanceUID="1.2.4.1"
        )
    )
    receive(life, 1, n1=data)
    work(life, pipeline_of(life, denoisers))
    ((path, parameters),) = life.rows(select(ResultRow.path, ResultRow.settings))
    result = dcmread(life.spool.root / path)
    hu = result.pixel_array * float(result.RescaleSlope) + float(result.RescaleIntercept)
    np.testing.assert_array_equal(hu, before * left)
    said = f"strength {recommended if stated is None else stated:g}"
    assert said in result.DerivationDescription
    assert f"strength {parameters['strength']}" == said
    life.close()


def test_results_are_named_by_the_precision_of_the_worker_that_made_them(
    life: Life, denoisers: FakeDenoisers
) -> None:
    receive(life, 1)
    workers = life.settings.workers.model_copy(update={"precision": "bf16"})
    changed = life.settings.model_copy(update={"workers": workers})
    work(life, pipeline_of(life, denoisers, changed))
    ((uid, series, parameters),) = life.rows(
        select(ResultRow.sop_instance_uid, ResultRow.series_uid, ResultRow.settings)
    )
    assert parameters["precision"] == "bf16"
    sha256 = "1" * 64
    assert uid == result_sop_instance_uid("1.2.4.1", "ct", sha256, parameters)
    assert series == result_series_uid("1.2.4", "ct", sha256, parameters)


def test_a_done_batch_is_not_done_again(life: Life, pipeline: Pipeline) -> None:
    receive(life, 2)
    batch_id = life.due_batches()[0]
    assert pipeline.run(batch_id)
    assert not pipeline.run(batch_id)
    assert not pipeline.run(4711)


@pytest.mark.parametrize("spoiled", [None, b"", b"\0" * 200])
def test_one_bad_file_ends_alone(life: Life, pipeline: Pipeline, spoiled: bytes | None) -> None:
    receive(life, 6)
    spoil(life, 3, spoiled)
    work(life, pipeline)
    assert states(life) == ["denoised"] * 2 + ["failed"] + ["denoised"] * 3
    assert life.due_batches() == []


def test_an_item_that_the_engine_cannot_do_fails_alone(
    life: Life, pipeline: Pipeline, denoisers: FakeDenoisers
) -> None:
    def before(frames: Sequence[Any]) -> None:
        if any(float(frame.values[0, 0]) == 77.0 for frame in frames):
            raise FailItem("not finite")

    denoisers.before = before
    odd = np.full((16, 16), 77.0)
    data = to_bytes(
        ct_slice(odd, StudyInstanceUID="1.2.3", SeriesInstanceUID="1.2.4", SOPInstanceUID="1.2.4.2")
    )
    receive(life, 6, n2=data)
    work(life, pipeline)
    assert states(life) == ["denoised", "failed", *["denoised"] * 4]


def test_a_passing_fault_of_one_item_does_not_hold_up_the_others(
    life: Life, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    receive(life, 14)
    written = life.spool.write_atomic
    full = True

    def write(path: Path, data: bytes) -> None:
        if full and b"1.2.4.2\0" in data:
            raise OutOfSpace("the disk is full")
        written(path, data)

    monkeypatch.setattr(life.spool, "write_atomic", write)
    work(life, pipeline)
    assert states(life) == ["denoised", "planned", *["denoised"] * 12]
    assert reasons(life)[1] == "the disk is full"
    full = False
    life.clock.advance(3600)
    work(life, pipeline)
    assert states(life) == ["denoised"] * 14


def test_what_is_at_fault_outside_is_waited_for_longer_than_a_worker_that_dies(
    life: Life, pipeline: Pipeline, denoisers: FakeDenoisers
) -> None:
    receive(life, 2)
    denoisers.fault = RetryLater("no engine")
    for _ in range(20):
        life.clock.advance(1800)
        work(life, pipeline)
    assert states(life) == ["planned"] * 2
    assert reasons(life) == ["no engine"] * 2
    denoisers.fault = None
    life.clock.advance(1800)
    work(life, pipeline)
    assert states(life) == ["denoised"] * 2


def test_what_stays_at_fault_for_days_fails(
    life: Life, pipeline: Pipeline, denoisers: FakeDenoisers
) -> None:
    receive(life, 2)
    denoisers.fault = RetryLater("no engine")
    for _ in range(12):
        life.clock.advance(12 * 3600)
        work(life, pipeline)
    assert states(life) == ["failed"] * 2
    for reason in reasons(life):
        assert "given up after 2 tries; last: no engine" in str(reason)
        assert "study retry" in str(reason)


def test_a_missing_model_fails_the_batch(
    life: Life, pipeline: Pipeline, denoisers: FakeDenoisers
) -> None:
    receive(life, 2)
    denoisers.fault = FailItem("model toy@1.0.0 is not in the store")
    work(life, pipeline)
    assert states(life) == ["failed"] * 2


def test_a_fault_that_nobody_thought_of_counts_as_a_try(
    life: Life, pipeline: Pipeline, denoisers: FakeDenoisers
) -> None:
    receive(life, 2)

    def before(frames: Sequence[Any]) -> None:
        raise ZeroDivisionError("PHI^MARKER")

    denoisers.before = before
    for _ in range(10):
        for batch_id in life.due_batches():
            try:
                pipeline.run(batch_id)
            except ZeroDivisionError:
                continue
        life.clock.advance(3600)
    assert states(life) == ["failed"] * 2
    assert "MARKER" not in "".join(str(reason) for reason in reasons(life))


def test_a_worker_that_lost_its_batch_records_nothing_more(
    life: Life, pipeline: Pipeline, denoisers: FakeDenoisers
) -> None:
    """Not even that an item failed: another worker has it now."""
    receive(life, 1)
    spoil(life, 1, b"")

    def before_get(ref: ModelRef) -> FakeDenoiser:
        life.clock.advance(3600)
        life.upkeep.catch_up()
        assert life.claim(life.due_batches()[0], "w:2") is not None
        return FakeDenoiser(lambda frames: None)

    denoisers.get = before_get  # type: ignore[method-assign]
    with pytest.raises(LedgerError, match="taken back"):
        work(life, pipeline)
    assert states(life) == [WorkState.RUNNING.value]


def test_an_engine_that_is_built_for_longer_than_the_lease_costs_no_try(
    life: Life, denoisers: FakeDenoisers
) -> None:
    settings = life.settings.model_copy(
        update={"workers": life.settings.workers.model_copy(update={"lease_seconds": 0.4})}
    )
    receive(life, 2)

    def left() -> float:
        (row,) = life.rows(select(BatchRow.lease_until))
        return (row.lease_until - life.clock.at).total_seconds() if row.lease_until else 0.0

    def build(ref: ModelRef) -> FakeDenoiser:
        for _ in range(4):
            life.clock.advance(0.3)
            life.upkeep.catch_up()
            deadline = time.monotonic() + 10
            while left() < 0.35 and time.monotonic() < deadline:
                time.sleep(0.02)
        return FakeDenoiser(lambda frames: None)

    denoisers.get = build  # type: ignore[method-assign]
    work(life, pipeline_of(life, denoisers, settings))
    assert states(life) == ["denoised"] * 2
    assert {row.attempts for row in life.rows(select(BatchRow.attempts))} == {1}


def test_no_text_of_the_ledger_names_the_patient(
    life: Life, pipeline: Pipeline, denoisers: FakeDenoisers
) -> None:
    whole = slice_bytes(1)
    bad = {
        "n2": slice_bytes(2, PatientName="PHI^MARKER\\x", RescaleSlope=0),
        "n3": whole[: len(whole) - 100],
        "n4": whole.replace(b"1.2.4.1\0", b"1.2.4.4\0").replace(b"MONOCHROME2 ", b"PHI^MARKER  "),
        "n5": slice_bytes(5, WindowWidth=0, PixelSpacing=None, SpecificCharacterSet="PHI-MARKER"),
        "n6": slice_bytes(6, Modality="CT", ImageType=["PHI^MARKER", "PHI-MARKER"]),
    }
    receive(life, 6, **bad)
    work(life, pipeline)
    texts = [row.reason or "" for row in life.rows(select(WorkItemRow.reason))]
    texts += [str(row.detail) for row in life.rows(select(AuditRow.detail))]
    texts += [str(row) for row in life.rows(select(ResultRow))]
    for marker in ("MARKER", "19010203", "PHI-ACC"):
        assert marker not in "\n".join(texts)


def test_a_worker_that_is_late_removes_what_it_wrote_and_nothing_else(
    life: Life, pipeline: Pipeline
) -> None:
    """Its batch is given to another, which ends before it; both make the same results."""
    receive(life, 2)
    (batch_id,) = life.due_batches()
    late_one = FakeDenoisers()
    late = pipeline_of(life, late_one)

    def overtaken(_: Sequence[Any]) -> None:
        with life.ledger.write() as unit:
            batches.take_back_expired(unit, worker=process_name())
        pipeline.run(batch_id)

    late_one.before = overtaken
    with pytest.raises(LedgerError, match="taken back"):
        late.run(batch_id)
    assert states(life) == ["denoised"] * 2
    rows = life.rows(select(ResultRow.path, ResultRow.sha256))
    files = {path for path in (life.spool.root / "results").rglob("*") if path.is_file()}
    assert {life.spool.path(row.path) for row in rows} == files
    for row in rows:
        whole = life.spool.path(row.path).read_bytes()
        assert hashlib.sha256(whole).hexdigest() == row.sha256

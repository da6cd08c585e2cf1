"""A worker's pipeline around fakes, and a batch of small CT slices for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
from sqlalchemy import select

from dicom_node.ledger.tables import WorkItemRow
from dicom_node.settings import Settings
from model_store.ref import ModelRef
from tests.support.factories import ct_slice, to_bytes
from tests.support.ledgers import TWO_ROUTES, Life
from workers.pipeline import BatchObserver, Observer, Pipeline

ONE_ROUTE = TWO_ROUTES | {
    "routes": TWO_ROUTES["routes"][:1],
    "batching": {"instances": 16},
    "workers": {"attempts": 2},
}
PATIENT: dict[str, Any] = {
    "PatientName": "PHI^MARKER", "PatientID": "PHI-MARKER", "PatientBirthDate": "19010203",
    "AccessionNumber": "PHI-ACC",
}  # fmt: skip


class FakeDenoiser:
    """Halves every value, at full strength; does as told before."""

    engine = SimpleNamespace(name="fake", precision="f32", device="CPU")

    def __init__(self, before: Callable[[Sequence[Any]], None]) -> None:
        self._before = before

    def describe(self) -> dict[str, str]:
        return {"engine": "fake"}

    def denoise(self, frames: Sequence[Any], *, strength: float, on_progress: Any) -> list[Any]:
        self._before(frames)
        on_progress(1)
        kept = np.float32(1 - 0.5 * strength)
        return [frame.values * kept for frame in frames]


class FakeDenoisers:
    """One denoiser for every model version, or the fault there is."""

    def __init__(self) -> None:
        self.fault: Exception | None = None
        self.before: Callable[[Sequence[Any]], None] = lambda frames: None

    def get(self, ref: ModelRef) -> FakeDenoiser:
        if self.fault is not None:
            raise self.fault
        return FakeDenoiser(self.before)


def slice_bytes(number: int, **attributes: Any) -> bytes:
    return to_bytes(
        ct_slice(
            size=(16, 16),
            StudyInstanceUID="1.2.3",
            SeriesInstanceUID="1.2.4",
            SOPInstanceUID=f"1.2.4.{number}",
            InstanceNumber=number,
            **(PATIENT | attributes),
        )
    )


def receive(life: Life, count: int, **changed: bytes) -> None:
    """Take and plan `count` slices; bytes of the third are `n3`, if given."""
    for number in range(1, count + 1):
        life.receive(f"1.2.4.{number}", data=changed.get(f"n{number}", slice_bytes(number)))
    life.planner.plan()
    life.clock.advance(10)
    life.planner.close_batches()


def work(life: Life, pipeline: Pipeline) -> None:
    """Do all that is due."""
    for batch_id in life.due_batches():
        pipeline.run(batch_id)


def states(life: Life) -> list[str]:
    """Of work items, in order."""
    return [r.state for r in life.rows(select(WorkItemRow.state).order_by(WorkItemRow.id))]


def reasons(life: Life) -> list[str | None]:
    """Of work items, in order."""
    return [r.reason for r in life.rows(select(WorkItemRow.reason).order_by(WorkItemRow.id))]


def pipeline_of(
    life: Life,
    denoisers: FakeDenoisers,
    settings: Settings | None = None,
    observer: Observer = lambda _batch: BatchObserver(),
) -> Pipeline:
    """A worker's pipeline at the ledger and the spool of `life`."""
    engines: Any = denoisers
    return Pipeline(life.node(settings), engines, observer)

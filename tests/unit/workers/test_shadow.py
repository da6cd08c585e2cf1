"""A shadow version is run and measured, and delivery knows nothing of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import structlog
from sqlalchemy import select

from dicom_node.errors import FailItem, LedgerError, RetryLater
from dicom_node.ledger import shadow_measures
from dicom_node.ledger.batches import ClaimedItem
from dicom_node.ledger.tables import BatchRow, DeliveryRow, ResultRow, ShadowMeasureRow, WorkItemRow
from dicom_node.node import Node
from dicom_node.spool.spool import Spool
from dicom_node.spool.stored import ObjectKind, StoredObject
from model_store.engines.base import DeviceLostError
from model_store.errors import UnknownModelError
from model_store.ref import ModelName, ModelRef
from model_store.registry.records import Measure, Move
from tests.support.factories import ct_slice, to_bytes
from tests.support.ledgers import TWO_ROUTES, FakeModels, Life
from workers.frame import Frame
from workers.pipeline import Pipeline
from workers.shadow import ProductionFrame, Shadows, is_seen, measured, spread

ONE_ROUTE = TWO_ROUTES | {"routes": TWO_ROUTES["routes"][:1], "batching": {"instances": 16}}


class ShadowModels(FakeModels):
    """Models whose label ``toy`` may have a shadow."""

    shadow: tuple[str, float] | None = None

    def moves(self) -> dict[ModelName, Move]:
        if self.shadow is None:
            return {}
        target, share = self.shadow
        alias = ModelName("toy", "shadow")
        at = datetime(2026, 1, 1, tzinfo=UTC)
        name = ModelName.parse(target)
        move = Move(alias, 1, name, None, "shadow", at, "a@b", "try it", False, (), share)
        return {alias: move}

    @staticmethod
    def label_of(name: ModelName) -> str:
        return name.name


class ToyDenoiser:
    """Leaves a part of every value that depends on its version."""

    def __init__(self, ref: ModelRef, before: Callable[[], None], strengths: list[float]) -> None:
        self.engine = SimpleNamespace(name="fake", precision="f32", device="CPU", ref=ref)
        self._before = before
        self._strengths = strengths
        self._factor = np.float32(0.5 if ref.version == "1.0.0" else 0.25)

    def describe(self) -> dict[str, str]:
        return {"engine": "fake"}

    def denoise(self, frames: Any, *, strength: float, on_progress: Any) -> list[Any]:
        self._before()
        self._strengths.append(strength)
        on_progress(1)
        level = np.float32(40)
        return [(level + (frame.values - level) * self._factor) for frame in frames]


class ToyDenoisers:
    """A denoiser of every version, or the fault there is."""

    def __init__(self, before: Callable[[], None] = lambda: None) -> None:
        self.fault: Exception | None = None
        self.before = before
        self.strengths: list[float] = []

    def get(self, ref: ModelRef) -> ToyDenoiser:
        if self.fault is not None:
            raise self.fault
        return ToyDenoiser(ref, self.before, self.strengths)


class Setting:
    """A node whose label ``toy`` has a shadow that sees everything."""

    def __init__(self, folder: Path, spool: Spool, strength: float | None = None) -> None:
        route = ONE_ROUTE["routes"][0] | {"strength": strength}
        self.life = Life(folder, shared=spool, tree=ONE_ROUTE | {"routes": [route]})
        self.life.associate()
        self.models = ShadowModels()
        self.models.shadow = ("toy@2.0.0", 1.0)
        self.shadows = ToyDenoisers()
        node = Node(
            self.life.settings, self.life.ledger, self.life.spool,
            self.models,  # type: ignore[arg-type]
        )  # fmt: skip
        self.observer = Shadows(node, self.shadows)  # type: ignore[arg-type]
        self.pipeline = Pipeline(node, ToyDenoisers(), self.observer)  # type: ignore[arg-type]

    def work(self, count: int = 3) -> None:
        for number in range(1, count + 1):
            self.life.receive(f"1.2.4.{number}", data=slice_bytes(number))
        self.life.planner.plan()
        self.life.clock.advance(10)
        self.life.planner.close_batches()
        for batch_id in self.life.due_batches():
            self.pipeline.run(batch_id)

    def measures(self) -> list[Measure]:
        with self.life.ledger.read() as session:
            return shadow_measures.measures(session, "toy", "toy@1.0.0", "toy@2.0.0")

    def delivered(self) -> list[Any]:
        """Everything about results and deliveries that a peer or a person can see."""
        columns = (
            ResultRow.sop_instance_uid,
            ResultRow.sha256,
            ResultRow.engine,
            DeliveryRow.state,
        )
        rows = self.life.rows(select(*columns).join(DeliveryRow).order_by(DeliveryRow.id))
        states = self.life.rows(select(WorkItemRow.state, BatchRow.state).join(BatchRow))
        return [[tuple(map(str, row)) for row in found] for found in (rows, states)]


@pytest.fixture(scope="module")
def spool(tmp_path_factory: pytest.TempPathFactory) -> Spool:
    return Spool(tmp_path_factory.mktemp("spool"))


@pytest.fixture
def setting(tmp_path: Path, spool: Spool) -> Iterator[Setting]:
    setting = Setting(tmp_path / "node", spool)
    yield setting
    setting.life.close()


@cache
def slice_bytes(number: int) -> bytes:
    pixels = 40 + np.random.default_rng(number).normal(0, 20, (64, 64))
    return to_bytes(
        ct_slice(
            pixels, StudyInstanceUID="1.2.3", SeriesInstanceUID="1.2.4",
            SOPInstanceUID=f"1.2.4.{number}", InstanceNumber=number,
        )
    )  # fmt: skip


@pytest.mark.parametrize(("stated", "seen"), [(None, 0.6), (0.4, 0.4)])
def test_a_shadow_runs_at_the_strength_it_would_deliver_with(
    tmp_path: Path, spool: Spool, stated: float | None, seen: float
) -> None:
    setting = Setting(tmp_path, spool, stated)
    setting.models.strengths = {"1.0.0": 0.9, "2.0.0": 0.6}
    setting.work(3)
    assert set(setting.shadows.strengths) == {seen}
    for each in setting.measures():
        assert (each.strength_production, each.strength_shadow) == (stated or 1.0, seen)
    setting.life.close()


def test_a_batch_is_measured_and_delivers_what_it_would_have_delivered(
    setting: Setting, tmp_path: Path, spool: Spool
) -> None:
    setting.work(5)
    first, second = setting.measures()
    for each in (first, second):
        assert each.error is None
        assert (each.route, each.alias, each.series_uid) == ("ct", "toy", "1.2.4")
        assert each.noise_input is not None
        assert each.noise_input == pytest.approx(20, rel=0.2)
        assert each.noise_production == pytest.approx(each.noise_input / 2, rel=0.01)
        assert each.noise_shadow == pytest.approx(each.noise_input / 4, rel=0.01)
        assert abs(each.bias or 0) < 3
        assert each.units == "HU"
    assert first.seconds_shadow is None, "the first of a size is not comparable"
    assert second.seconds_shadow is not None
    alone = Setting(tmp_path / "alone", spool)
    alone.models.shadow = None
    alone.work(5)
    assert alone.measures() == []
    assert setting.delivered() == alone.delivered()
    alone.life.close()


def test_it_runs_when_the_batch_is_done_and_nothing_holds_it(setting: Setting) -> None:
    seen: list[tuple[str, Any]] = []

    def look() -> None:
        seen.extend(setting.life.rows(select(BatchRow.state, BatchRow.lease_until)))

    setting.shadows.before = look
    setting.work()
    assert set(seen) == {("done", None)}
    assert len(setting.life.due_parcels()) == 2, "delivery does not wait"


@pytest.mark.parametrize("share", [0.0, None])
def test_what_is_not_of_the_share_is_not_looked_at(setting: Setting, share: float | None) -> None:
    setting.models.shadow = ("toy@2.0.0", share)  # type: ignore[assignment]
    setting.work()
    assert setting.measures() == []


def test_a_version_is_not_compared_with_itself(setting: Setting) -> None:
    setting.models.shadow = ("toy@1.0.0", 1.0)
    setting.work()
    assert setting.life.rows(select(ShadowMeasureRow.id)) == []


@pytest.mark.parametrize("fault", [FailItem("not in the store"), RetryLater("not in the store")])
def test_a_shadow_that_fails_leaves_rows_and_nothing_else(
    setting: Setting, fault: Exception
) -> None:
    setting.shadows.fault = fault
    setting.work()
    assert [each.error for each in setting.measures()] == ["not in the store"] * 2
    assert [each.noise_shadow for each in setting.measures()] == [None] * 2
    _, states = setting.delivered()
    assert set(states) == {("denoised", "done")}


def test_a_failure_half_way_keeps_what_was_measured(setting: Setting) -> None:
    calls = iter([None, FailItem("no more")])

    def before() -> None:
        if (fault := next(calls)) is not None:
            raise fault

    setting.shadows.before = before
    setting.work()
    assert [each.error for each in setting.measures()] == [None, "no more"]


def test_a_fault_that_nobody_thought_of_is_recorded_and_seen_in_the_log(setting: Setting) -> None:
    setting.shadows.fault = ZeroDivisionError("PHI^MARKER")
    with structlog.testing.capture_logs() as said:
        setting.work()
    (error,) = {each.error for each in setting.measures()}
    assert error is not None
    assert error.startswith("ZeroDivisionError at workers/test_shadow.py:")
    assert error.endswith("; see the worker's log")
    assert error in {each.get("error") for each in said if each["event"] == "shadow.failed"}
    assert "PHI" not in error
    _, states = setting.delivered()
    assert set(states) == {("denoised", "done")}


def test_a_lost_device_ends_the_worker_after_the_batch(setting: Setting) -> None:
    setting.shadows.fault = DeviceLostError("gone")
    with pytest.raises(DeviceLostError):
        setting.work()
    assert setting.measures() == []
    _, states = setting.delivered()
    assert set(states) == {("denoised", "done")}


def test_a_shadow_that_takes_too_long_is_stopped(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.shadow._LONGEST", -1.0)
    setting.work()
    assert all("longer than" in str(each.error) for each in setting.measures())


def test_large_images_are_not_heaped_up(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.shadow._MOST_PIXELS", 64 * 64 + 1)
    setting.work()
    assert len(setting.measures()) == 1


def test_a_version_for_other_values_says_so(setting: Setting) -> None:
    resolve = setting.models.resolve

    def other(name: ModelName | str) -> Any:
        found = resolve(name)
        if str(found.ref) != "toy@2.0.0":
            return found
        manifest = SimpleNamespace(input=SimpleNamespace(units="stored"))
        return SimpleNamespace(ref=found.ref, manifest=manifest)

    setting.models.resolve = other  # type: ignore[method-assign]
    setting.work()
    assert {each.error for each in setting.measures()} == {
        "model toy@2.0.0 is for stored values, these images have others"
    }


@pytest.mark.parametrize("fault", [LedgerError("away"), UnknownModelError("aliases.toml: what?")])
def test_aliases_that_cannot_be_read_fail_no_batch(setting: Setting, fault: Exception) -> None:
    def moves() -> Any:
        raise fault

    setting.models.moves = moves  # type: ignore[method-assign]
    setting.work()
    _, states = setting.delivered()
    assert set(states) == {("denoised", "done")}


def test_a_ledger_that_goes_away_loses_the_measures_only(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    def record(*_: Any) -> None:
        raise LedgerError("away")

    monkeypatch.setattr(shadow_measures, "record", record)
    setting.work()
    assert setting.measures() == []
    _, states = setting.delivered()
    assert set(states) == {("denoised", "done")}


def test_a_share_is_a_share_and_always_the_same_batches() -> None:
    seen = [batch for batch in range(4000) if is_seen(batch, 0.1)]
    assert len(seen) == pytest.approx(400, rel=0.15)
    assert set(seen) <= {batch for batch in range(4000) if is_seen(batch, 0.2)}
    assert all(is_seen(batch, 1.0) and not is_seen(batch, 0.0) for batch in range(100))


@pytest.mark.parametrize(
    ("count", "chosen"),
    [(1, {5}), (2, {2, 7}), (3, {1, 5, 8}), (10, set(range(10))), (20, set(range(10)))],
)
def test_images_are_taken_from_all_over_a_batch(count: int, chosen: set[int]) -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    stored = StoredObject(
        ObjectKind.INSTANCE, "1.2", "1.2.3", "1.2.840.10008.1.2.1", "0" * 64, None
    )
    items = [ClaimedItem(number, "1.2.3", stored, at, tries=1) for number in range(10)]
    assert spread(items, count) == chosen
    assert spread([], count) == set()


def row() -> Measure:
    return Measure(1, 2, "xray", "xray-default", "1.2", "toy@1.0.0", "toy@2.0.0")


def test_a_radiograph_is_measured_in_grey_levels_of_twelve_bits() -> None:
    """Windows of 15 x 15 whose mean is exactly 512 and whose noise, +40 or -40, is chequered.

    113 pixels are above and 112 below; 222 degrees of freedom are left beside a plane.
    """
    chequered = 40.0 * (-1) ** np.add.outer(np.arange(15), np.arange(15))
    window = 512 + chequered - chequered.mean()
    values = np.tile(window, (10, 10)).astype(np.float32)
    frame = Frame(values, 1023.0, np.ones(values.shape, np.bool_))
    made = (512 + (values - 512) / 2).astype(np.float32)
    found = measured(row(), ProductionFrame(2, "stored", frame, values, 0.1), made + np.float32(1))
    level = 4095 / 1023
    noise = 40 * math.sqrt((225 - 1 / 225) / 222) * level
    assert found.units == "grey levels of 12 bits"
    assert found.noise_input == pytest.approx(noise, rel=1e-5)
    assert found.noise_production == pytest.approx(noise, rel=1e-5)
    assert found.noise_shadow == pytest.approx(noise / 2, rel=1e-5)
    assert found.bias == pytest.approx(level, rel=1e-4)


def test_padding_counts_for_nothing_and_air_has_no_noise_to_measure() -> None:
    values = np.full((64, 64), -1000, np.float32)
    valid = np.ones(values.shape, np.bool_)
    valid[:32] = False
    made = values.copy()
    made[:32] += 500
    made[32:] += 2
    found = measured(row(), ProductionFrame(2, "HU", Frame(values, 1.0, valid), values, 0.1), made)
    assert (found.noise_input, found.noise_shadow, found.bias) == (None, None, None)
    assert (found.rms_difference, found.largest_difference) == (2.0, 2.0)

"""What changes pixels changes the UIDs of a result; what does not leaves them.

Every field that a plan, a route or the settings of workers have is judged here by name, so that a
new one cannot be forgotten.
"""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dicom_node.domain.condition import Condition
from dicom_node.domain.route import Output, Route
from dicom_node.ledger.batches import ClaimedBatch, ClaimedItem
from dicom_node.routing.deciding import WantedRoute, plan_of
from dicom_node.settings import WorkerSettings
from dicom_node.settings.sections import ResultSettings
from dicom_node.spool.stored import ObjectKind, StoredObject
from model_store.ref import ModelName, ModelRef
from tests.support.factories import ct_slice, write
from workers.encode import ResultSpec
from workers.load import Source, load
from workers.results import parameters_of, result_spec

MODEL = ModelRef("toy", "1.0.0", "ab" * 32)
ROUTE = Route(
    name="ct",
    when=(Condition("Modality", ("CT",)),),
    model=ModelName("toy", "production"),
    strength=0.5,
    output=Output.SECONDARY_CAPTURE,
    destinations=("pacs",),
    series_description="{SeriesDescription} denoised {model}",
    series_number="9{SeriesNumber:03d}",
)
WORKERS = WorkerSettings()
AT = datetime(2026, 1, 2, tzinfo=UTC)
ENGINE: Any = SimpleNamespace(name="openvino", precision="f32", device="CPU")

# Written down once: a release that changed them would send every image a second time.
SOP_INSTANCE_UID = "2.25.51203916889248067584813835767138795264"
SERIES_UID = "2.25.11990136948272250481618511443175679069"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    image = ct_slice(size=(4, 4), SOPInstanceUID="1.2.4.1", SeriesInstanceUID="1.2.4")
    return load(write(image, tmp_path_factory.mktemp("source")))


def batch_of(route: Route, model: ModelRef, precision: str = "f32") -> ClaimedBatch:
    assert route.strength is not None
    plan = plan_of(WantedRoute(route, model, route.strength), precision)
    return ClaimedBatch(7, "1.2.4", route.name, model, plan, "w:1", 1, AT, ())


def claimed(
    uid: str = "1.2.4.1", *, number: int = 1, path: str | None = None, at: datetime = AT
) -> ClaimedItem:
    stored = StoredObject(ObjectKind.INSTANCE, "1.2", uid, "1.2.840.10008.1.2.1", "0" * 64, path)
    return ClaimedItem(number, uid, stored, at, tries=1)


def spec_of(
    source: Source,
    *,
    route: Route = ROUTE,
    model: ModelRef = MODEL,
    workers: WorkerSettings = WORKERS,
    results: ResultSettings | None = None,
    batch: ClaimedBatch | None = None,
    item: ClaimedItem | None = None,
    engine: Any = ENGINE,
) -> ResultSpec:
    batch = batch or batch_of(route, model, workers.precision)
    return result_spec(
        results or ResultSettings(), batch, item or claimed(), source,
        engine, parameters=parameters_of(batch, workers),
    )  # fmt: skip


def uids(spec: ResultSpec) -> tuple[str, str]:
    return spec.sop_instance_uid, spec.series_instance_uid


def both_differ(one: ResultSpec, other: ResultSpec) -> bool:
    pairs = list(zip(uids(one), uids(other), strict=True))
    assert len({left == right for left, right in pairs}) == 1, "both change, or neither"
    return pairs[0][0] != pairs[0][1]


def test_the_uids_of_what_has_been_sent_never_change(source: Source) -> None:
    assert uids(spec_of(source)) == (SOP_INSTANCE_UID, SERIES_UID)


OF_A_ROUTE: dict[str, tuple[Any, bool]] = {
    "name": ("other", True),
    "when": ((), False),
    "model": (ModelName("toy", "candidate"), False),  # what it named when it was planned counts
    "strength": (0.25, True),
    "output": (Output.DERIVED, True),
    "destinations": (("pacs", "archive"), False),
    "series_description": ("other", False),
    "series_number": ("7", False),
}


def test_every_field_of_a_route_is_judged() -> None:
    assert set(OF_A_ROUTE) == {field.name for field in fields(Route)}


@pytest.mark.parametrize("field", OF_A_ROUTE)
def test_what_a_route_says(source: Source, field: str) -> None:
    value, changes = OF_A_ROUTE[field]
    assert getattr(ROUTE, field) != value
    changed = replace(ROUTE, **{field: value})
    assert both_differ(spec_of(source), spec_of(source, route=changed)) is changes


def test_every_strength_that_makes_other_pixels_makes_other_uids(source: Source) -> None:
    """Also where only its seventh digit differs: then the pixels are the same as well."""
    close = replace(ROUTE, strength=0.50000049), replace(ROUTE, strength=0.50000051)
    for route in close:
        assert route.strength is not None
        planned = plan_of(WantedRoute(route, MODEL, route.strength_with(1.0)), "f32")
        assert planned["strength"] == float(planned["parameters"]["strength"])
    one, other = (spec_of(source, route=replace(ROUTE, strength=s)) for s in (0.5, 0.500001))
    assert both_differ(one, other)


@pytest.mark.parametrize("output", Output)
def test_every_form_has_its_own(source: Source, output: Output) -> None:
    others = [each for each in Output if each is not output]
    mine = spec_of(source, route=replace(ROUTE, output=output))
    assert mine.form == output.value
    for other in others:
        assert both_differ(mine, spec_of(source, route=replace(ROUTE, output=other)))


OF_THE_WORKERS: dict[str, tuple[Any, bool]] = {
    "precision": ("bf16", True),
    # Engines of one precision are held to the same pixels, and tiles keep what nothing beyond them
    # can influence: docs/decisions/0022.
    "engine": ("onnxruntime", False),
    "tile": (256, False),
    "threads": (3, False),
    "processes": (2, False),
    "lease_seconds": (9.0, False),
    "attempts": (9, False),
}


def test_every_setting_of_the_workers_is_judged() -> None:
    assert set(OF_THE_WORKERS) == set(WorkerSettings.model_fields)


@pytest.mark.parametrize("field", OF_THE_WORKERS)
def test_what_the_workers_are_set_to(source: Source, field: str) -> None:
    value, changes = OF_THE_WORKERS[field]
    assert getattr(WORKERS, field) != value
    changed = WORKERS.model_copy(update={field: value})
    assert both_differ(spec_of(source), spec_of(source, workers=changed)) is changes


@pytest.mark.parametrize("precision", ["auto", "f32", "bf16", "f16", "int8", "fp8"])
def test_the_precision_that_counts_is_that_of_the_worker_that_made_it(
    source: Source, precision: str
) -> None:
    """Not that of the day on which it was planned: the settings may have changed in between."""
    workers = WORKERS.model_copy(update={"precision": precision})
    for planned in ("f32", "bf16"):
        found = spec_of(source, batch=batch_of(ROUTE, MODEL, planned), workers=workers)
        assert uids(found) == uids(spec_of(source, workers=workers))
        assert both_differ(found, spec_of(source)) is (precision != "f32")


OF_A_MODEL: dict[str, tuple[str, bool]] = {
    "name": ("other", False),  # the bytes count, whatever they are called
    "version": ("2.0.0", False),
    "sha256": ("cd" * 32, True),
}


def test_every_field_of_a_model_is_judged() -> None:
    assert set(OF_A_MODEL) == {field.name for field in fields(ModelRef)}


@pytest.mark.parametrize("field", OF_A_MODEL)
def test_which_model_it_was(source: Source, field: str) -> None:
    value, changes = OF_A_MODEL[field]
    changed = replace(MODEL, **{field: value})
    assert both_differ(spec_of(source), spec_of(source, model=changed)) is changes


IN_A_PLAN: dict[str, tuple[Any, bool]] = {
    "parameters": ({"strength": "0.25", "output": "derived", "precision": "f32"}, True),
    "strength": (0.25, False),  # parameters have it, and the test of routes holds both together
    "strength_of": ("model", False),
    "output": ("derived", False),
    "destinations": (["archive"], False),
    "series_description": ("other", False),
    "series_number": ("7", False),
}


def test_every_entry_of_a_plan_is_judged() -> None:
    assert set(IN_A_PLAN) == set(batch_of(ROUTE, MODEL).plan)


@pytest.mark.parametrize("entry", IN_A_PLAN)
def test_what_the_plan_says(source: Source, entry: str) -> None:
    value, changes = IN_A_PLAN[entry]
    batch = batch_of(ROUTE, MODEL)
    assert batch.plan[entry] != value
    changed = replace(batch, plan={**batch.plan, entry: value})
    assert both_differ(spec_of(source), spec_of(source, batch=changed)) is changes


def test_whose_image_it_is(source: Source) -> None:
    batch = batch_of(ROUTE, MODEL)
    base = spec_of(source)
    instance = spec_of(source, item=claimed("1.2.4.2"))
    assert instance.sop_instance_uid != base.sop_instance_uid
    assert instance.series_instance_uid == base.series_instance_uid
    series = spec_of(source, batch=replace(batch, series_uid="1.2.5"))
    assert series.sop_instance_uid == base.sop_instance_uid
    assert series.series_instance_uid != base.series_instance_uid


def test_who_made_it_and_when_does_not_matter(source: Source) -> None:
    later = claimed(number=99, path="elsewhere", at=datetime(2027, 1, 1, tzinfo=UTC))
    batch = replace(batch_of(ROUTE, MODEL), batch_id=8, worker="w:2", attempts=3)
    other: Any = SimpleNamespace(name="tensorrt", precision="f32", device="GPU")
    found = spec_of(source, batch=batch, item=later, engine=other)
    assert not both_differ(spec_of(source), found)


def test_an_organisations_root_is_used_for_both(source: Source) -> None:
    found = spec_of(source, results=ResultSettings(uid_root="1.2.826.0.1"))
    assert all(uid.startswith("1.2.826.0.1.") for uid in uids(found))
    labels = ResultSettings(device_serial_number="9", institution_name="Elsewhere")
    assert not both_differ(spec_of(source), spec_of(source, results=labels))


def test_the_specification_says_what_the_plan_says(source: Source) -> None:
    found = spec_of(source)
    assert (found.form, found.model, found.strength, found.route) == (
        "secondary-capture", MODEL, 0.5, "ct",
    )  # fmt: skip
    assert found.engine == "openvino f32 on CPU"
    assert (found.series_number, found.series_description) == (9002, "Synthetic denoised toy")
    assert found.derivation_description == ("Denoised by model toy@1.0.0, strength 0.5, route ct")
    assert found.at == AT


def test_the_time_is_that_of_planning_in_whole_seconds(source: Source) -> None:
    at = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
    found = spec_of(source, item=claimed(at=at))
    assert found.at == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_the_words_for_an_engine_are_cut(source: Source) -> None:
    long: Any = SimpleNamespace(name="e" * 200, precision="f32", device="GPU")
    assert spec_of(source, engine=long).engine == "e" * 128


def test_a_path_is_no_part_of_it(source: Source, tmp_path: Path) -> None:
    there = claimed(path=str(tmp_path))
    assert not both_differ(spec_of(source), spec_of(source, item=there))

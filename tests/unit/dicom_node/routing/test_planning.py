"""Planning: which routes want an instance, whatever the instance looks like."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from sqlalchemy import select, update
from structlog.testing import capture_logs

from dicom_node.dicom.header import read_header
from dicom_node.errors import NodeError, RetryLater
from dicom_node.ledger import recall
from dicom_node.ledger.tables import BatchRow, InstanceRow, WorkItemRow
from dicom_node.routing.deciding import Decider
from dicom_node.settings import Settings
from tests.support.factories import ct_slice, to_bytes
from tests.support.ledgers import TWO_ROUTES, FakeModels, Life, ct_header

FIRST = TWO_ROUTES | {"routing": {"matches": "first"}}


@pytest.fixture
def life(tmp_path: Path) -> Iterator[Life]:
    life = Life(tmp_path / "node", tree=FIRST)
    life.associate()
    yield life
    life.close()


def items(life: Life) -> list[tuple[str, str, str | None]]:
    statement = select(WorkItemRow.route, WorkItemRow.state, WorkItemRow.reason)
    return [tuple(row) for row in life.rows(statement.order_by(WorkItemRow.id))]


def data(**attributes: Any) -> bytes:
    values = {
        "StudyInstanceUID": "1.2.3", "SeriesInstanceUID": "1.2.4", "SOPInstanceUID": "1.2.4.1",
    } | attributes  # fmt: skip
    return to_bytes(ct_slice(size=(4, 4), **values))


def test_the_first_matching_route_counts(life: Life) -> None:
    life.receive("1.2.4.1")
    assert life.planner.plan() == 1
    assert items(life) == [("ct", "planned", None)]


def test_all_matching_routes_count_where_that_is_configured(tmp_path: Path) -> None:
    life = Life(tmp_path, tree=TWO_ROUTES)
    life.associate()
    life.receive("1.2.4.1")
    life.planner.plan()
    assert [route for route, _, _ in items(life)] == ["ct", "soft"]
    life.close()


def test_a_route_without_a_strength_takes_the_versions(tmp_path: Path) -> None:
    life = Life(tmp_path, tree=TWO_ROUTES)
    life.models.strengths = {"1.0.0": 0.7}
    life.associate()
    life.receive("1.2.4.1")
    life.planner.plan()
    plans = dict(life.rows(select(BatchRow.route, BatchRow.plan)))
    assert (plans["ct"]["strength"], plans["ct"]["strength_of"]) == (0.7, "model")
    assert plans["ct"]["parameters"]["strength"] == "0.7", "result UIDs differ with it"
    assert (plans["soft"]["strength"], plans["soft"]["strength_of"]) == (0.5, "route")
    life.close()


@pytest.mark.parametrize(
    ("attributes", "route", "state", "reason"),
    [
        ({"Modality": "MR"}, "-", "passed", "no route matches"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, "ct", "passed", "localizer"),
        ({"SeriesInstanceUID": None}, "-", "failed", "Series Instance UID"),
        ({"SeriesInstanceUID": "PHI MARKER"}, "-", "failed", "Series Instance UID"),
        ({"StudyInstanceUID": None}, "-", "failed", "Study Instance UID"),
        ({"SOPInstanceUID": "1.2.4.99"}, "-", "failed", "names SOP Instance UID 1.2.4.99"),
        (
            {"SOPInstanceUID": "1.2.4.99", "SeriesInstanceUID": None},
            "-",
            "failed",
            "names SOP Instance UID 1.2.4.99",
        ),
        ({"SOPInstanceUID": "1.2.4.99", "Modality": "MR"}, "-", "passed", "no route matches"),
    ],
)
def test_what_is_not_wanted_ends_with_its_reason(
    life: Life, attributes: dict[str, Any], route: str, state: str, reason: str
) -> None:
    life.receive("1.2.4.1", data=data(**attributes))
    life.planner.plan()
    ((found_route, found_state, found_reason),) = items(life)
    assert (found_route, found_state) == (route, state)
    assert reason.lower() in str(found_reason).lower()
    assert "MARKER" not in str(found_reason)


def test_a_model_that_is_not_there_fails_and_can_be_retried(life: Life) -> None:
    life.models.known.clear()
    life.receive("1.2.4.1")
    life.planner.plan()
    assert items(life)[0][1] == "failed"
    assert "toy" in str(items(life)[0][2])


def test_what_fails_is_logged_once_for_each_route_and_reason(tmp_path: Path) -> None:
    life = Life(tmp_path, tree=TWO_ROUTES)
    life.associate()
    life.models.known.clear()
    life.receive_series(3)
    life.receive("1.2.5.1", data=data(SOPInstanceUID="1.2.5.1", SeriesInstanceUID="PHI MARKER"))
    life.receive("1.2.5.2", data=data(SOPInstanceUID="1.2.5.2", Modality="MR"))
    with capture_logs() as lines:
        assert life.planner.plan() == 5
        life.planner.plan()
    assert len(lines) == 3
    assert {(line["event"], line["log_level"]) for line in lines} == {("items.failed", "warning")}
    said = {line["route"]: (line["items"], line["reason"]) for line in lines}
    assert {route: count for route, (count, _) in said.items()} == {"-": 1, "ct": 3, "soft": 3}
    assert "no model toy" in said["ct"][1]
    assert "Series Instance UID" in said["-"][1]
    assert "MARKER" not in str(lines)
    life.close()


def test_what_is_planned_or_passed_is_not_logged_as_failed(life: Life) -> None:
    life.receive("1.2.4.1")
    life.receive("1.2.4.2", data=data(SOPInstanceUID="1.2.4.2", Modality="MR"))
    with capture_logs() as lines:
        assert life.planner.plan() == 2
    assert lines == []


def test_a_model_for_something_else_passes(tmp_path: Path) -> None:
    life = Life(tmp_path, tree=FIRST)
    life.associate()
    life.models = FakeModels(units="stored", modality=("DX",))
    life.receive("1.2.4.1")
    life.another_planner().plan()
    assert items(life)[0][1] == "passed"
    life.close()


def test_a_missing_file_fails_at_once(life: Life) -> None:
    life.receive("1.2.4.1")
    next((life.folder / "instances").glob("*/1.2.4.1-*")).unlink()
    assert life.planner.plan() == 1
    assert items(life)[0][1] == "failed"


def test_what_is_no_longer_kept_fails_at_once(life: Life) -> None:
    life.receive("1.2.4.1")
    with life.ledger.write() as unit:
        unit.session.execute(update(InstanceRow).values(path=None))
    assert life.planner.plan() == 1
    assert items(life) == [("-", "failed", "its bytes are no longer kept")]


def test_files_that_cannot_be_read_now_do_not_hold_up_the_others(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More of them than are looked at together, and older."""
    for number in range(300):
        life.receive(f"1.2.5.{number}", series="1.2.5", data=b"no")
    life.receive("1.2.4.1")

    def read(path: Path, uid: str) -> Any:
        if uid.startswith("1.2.5."):
            raise RetryLater(f"{uid}: input/output error")
        return read_header(path, uid)

    monkeypatch.setattr("dicom_node.routing.planning.read_header", read)
    for _ in range(4):
        life.planner.plan()
    assert items(life) == [("ct", "planned", None)]


def test_a_file_that_cannot_be_read_for_long_fails(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    life.receive("1.2.4.1")

    def read(path: Path, uid: str) -> Any:
        raise RetryLater(f"{uid}: input/output error")

    monkeypatch.setattr("dicom_node.routing.planning.read_header", read)
    for _ in range(3):
        life.planner.plan()
    assert items(life) == []
    life.clock.advance(80 * 3600)
    planner = life.another_planner()
    planner.plan()
    assert [state for _, state, _ in items(life)] == ["failed"]


def test_what_a_value_holds_cannot_break_the_ledger(life: Life) -> None:
    """NUL and lone surrogates have no place in a database; they are in images."""
    odd = data().replace(b"CT\0" if b"CT\0" in data() else b"CT", b"C\0", 1)
    life.receive("1.2.4.1", data=odd)
    life.receive("1.2.4.2", series="1.2.4")
    assert life.planner.plan() == 2
    assert all(state in ("passed", "failed", "planned") for _, state, _ in items(life))


def test_a_conflict_waits_for_a_person(life: Life) -> None:
    life.receive("1.2.4.1")
    life.receive("1.2.4.1", version=1)
    assert life.planner.plan() == 2
    assert [(route, state) for route, state, _ in items(life)] == [
        ("ct", "planned"), ("-", "failed"),
    ]  # fmt: skip
    with capture_logs() as lines:
        assert life.planner.plan() == 0
    assert lines == [], "nobody looks at it again"
    assert len(items(life)) == 2


def test_what_a_person_retries_is_planned_again_in_a_batch(life: Life) -> None:
    life.models.known.clear()
    life.receive("1.2.4.1")
    life.planner.plan()
    ((failed, batch),) = life.rows(select(WorkItemRow.id, WorkItemRow.batch_id))
    assert batch is None
    life.models.known.add("toy")
    with life.ledger.write() as unit:
        assert recall.retry(unit, [failed]).planned == 1
    assert life.planner.plan() == 1
    ((again, state, batch),) = life.rows(
        select(WorkItemRow.id, WorkItemRow.state, WorkItemRow.batch_id)
    )
    assert (again, state) == (failed, "planned")
    assert [batch] == [row.id for row in life.rows(select(BatchRow.id))]


def test_what_was_known_of_an_instance_stays_when_its_bytes_are_gone(life: Life) -> None:
    life.models.known.clear()
    life.receive("1.2.4.1")
    life.planner.plan()
    (failed,) = life.rows(select(WorkItemRow.id))
    with life.ledger.write() as unit:
        assert recall.retry(unit, [failed.id]).planned == 1
    next((life.folder / "instances").glob("*/1.2.4.1-*")).unlink()
    life.planner.plan()
    known = life.rows(select(InstanceRow.study_uid, InstanceRow.series_uid, InstanceRow.modality))
    assert [tuple(row) for row in known] == [("1.2.3", "1.2.4", "CT")]
    assert {state for _, state, _ in items(life)} == {"failed"}


def test_two_patients_with_one_uid_are_kept_apart(life: Life) -> None:
    life.receive("1.2.4.1", data=data(PatientID="A"))
    life.receive("1.2.4.1", version=1, data=data(PatientID="B"))
    life.planner.plan()
    states = {row.state for row in life.rows(select(InstanceRow.state))}
    assert states == {"planned", "conflict"}


HEADER = ct_header("1.2.4", "1.2.4.1")


@pytest.fixture(scope="module")
def decider() -> Decider:
    tree = TWO_ROUTES | {
        "routes": [
            {
                "name": "everything",
                "when": {
                    "PatientName": {"regex": "[A-Z]", "not": True},
                    "ImagePositionPatient": {"min": -1e9},
                    "ReferencedImageSequence": {"present": False},
                    "StudyDate": {"regex": "^2"},
                    "WindowCenter": [40, "x"],
                    "ConvolutionKernel": {"present": True},
                },
                "model": "toy@production",
                "destinations": ["pacs"],
            },
            *TWO_ROUTES["routes"],
        ]
    }
    return Decider(Settings(**tree), FakeModels())  # type: ignore[arg-type]


@settings(
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
@given(
    changes=st.lists(
        st.tuples(st.integers(132, len(HEADER) - 1), st.binary(min_size=1, max_size=8)),
        min_size=1, max_size=6,
    ),
    keep=st.one_of(st.none(), st.integers(0, len(HEADER))),
)  # fmt: skip
def test_damaged_headers_are_decided_or_end_in_an_error_of_ours(
    decider: Decider,
    tmp_path_factory: pytest.TempPathFactory,
    changes: list[tuple[int, bytes]],
    keep: int | None,
) -> None:
    damaged = bytearray(HEADER)
    for at, new in changes:
        damaged[at : at + len(new)] = new
    path = tmp_path_factory.getbasetemp() / "damaged.dcm"
    path.write_bytes(bytes(damaged[:keep]))
    try:
        dataset = read_header(path, "1.2.4.1")
        decision = decider.decide(dataset)
    except NodeError as error:
        text = str(error)
    else:
        text = " ".join(ended.reason for ended in decision.ended)
        assert decision.wanted or decision.ended
    assert len(text) < 500


def test_the_undamaged_header_is_wanted(decider: Decider, tmp_path: Path) -> None:
    path = tmp_path / "x.dcm"
    path.write_bytes(HEADER)
    assert [each.route.name for each in decider.decide(dcmread(path)).wanted] == ["ct", "soft"]

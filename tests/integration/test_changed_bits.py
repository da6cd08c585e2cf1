"""What was changed in the spool or the ledger reaches nobody, and a person learns of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import select, text, update

from dicom_node.ledger import recall
from dicom_node.ledger.plans import plan_sha256
from dicom_node.ledger.tables import BatchRow, InstanceRow, ResultRow, WorkItemRow
from tests.support.denoising import FakeDenoisers, pipeline_of
from tests.support.factories import ct_slice, to_bytes
from tests.support.ledgers import TWO_ROUTES, Life
from tests.support.pacs import FakePacs
from workers.deliver import Courier

pytestmark = pytest.mark.holds(number=9)

UID = "1.2.4.1"
WHOLE = to_bytes(
    ct_slice(
        size=(8, 8), StudyInstanceUID="1.2.3", SeriesInstanceUID="1.2.4", SOPInstanceUID=UID,
        PatientID="PHANTOM",
    )
)  # fmt: skip


def rename(whole: bytes) -> bytes:
    """P and Q are one bit apart."""
    assert whole.count(b"PHANTOM") == 1
    return whole.replace(b"PHANTOM", b"QHANTOM")


def recolour(whole: bytes) -> bytes:
    """One bit of the last pixel."""
    return whole[:-2] + bytes([whole[-2] ^ 1]) + whole[-1:]


CHANGES = pytest.mark.parametrize("change", [rename, recolour])
Change = Callable[[bytes], bytes]


class Way:
    """From reception to a PACS, stage by stage."""

    def __init__(self, folder: Path, port: int) -> None:
        tree: dict[str, Any] = TWO_ROUTES | {
            "routes": [TWO_ROUTES["routes"][0] | {"destinations": ["pacs"]}],
            "destinations": [TWO_ROUTES["destinations"][0] | {"port": port}],
        }
        self.life = Life(folder, tree=tree)
        self.life.associate()
        life = self.life
        self._pipeline = pipeline_of(life, FakeDenoisers())
        self._courier = Courier(life.node())

    def receive(self) -> None:
        self.life.receive(UID, data=WHOLE)

    def plan(self) -> None:
        self.life.planner.plan()
        self.life.clock.advance(10)
        self.life.planner.close_batches()

    def work(self) -> None:
        for batch_id in self.life.due_batches():
            self._pipeline.run(batch_id)

    def deliver(self) -> None:
        for parcel_id in self.life.due_parcels():
            self._courier.run(parcel_id)

    def change(self, table: Any, change: Change) -> Path:
        ((name,),) = self.life.rows(select(table.path))
        path = self.life.spool.path(name)
        path.write_bytes(change(path.read_bytes()))
        return path

    def item(self) -> Any:
        """The last one."""
        statement = select(WorkItemRow.state, WorkItemRow.reason)
        return self.life.rows(statement.order_by(WorkItemRow.id.desc()))[0]

    def retry(self) -> None:
        ids = [row.id for row in self.life.rows(select(WorkItemRow.id))]
        with self.life.ledger.write() as unit:
            recall.retry(unit, ids)


@pytest.fixture
def pacs() -> Iterator[FakePacs]:
    with FakePacs() as pacs:
        yield pacs


@pytest.fixture
def way(tmp_path: Path, pacs: FakePacs) -> Iterator[Way]:
    way = Way(tmp_path / "node", pacs.port)
    yield way
    way.life.close()


@CHANGES
@pytest.mark.parametrize("when", ["before planning", "before work"])
def test_an_object_that_came_wrong_fails_until_it_is_sent_again(
    way: Way, pacs: FakePacs, change: Change, when: str
) -> None:
    way.receive()
    if when == "before work":
        way.plan()
    wrong = way.change(InstanceRow, change)
    kept = wrong.read_bytes()
    way.plan()
    way.work()
    way.deliver()
    assert way.item().state == "failed"
    assert "not those that were received" in way.item().reason
    assert "HANTOM" not in way.item().reason
    assert pacs.received == []
    assert wrong.read_bytes() == kept

    way.receive()
    way.retry()
    way.plan()
    way.work()
    way.deliver()
    assert way.item().state == "delivered"
    (one,) = pacs.received
    assert b"PHANTOM" in one.data
    assert wrong.read_bytes() == kept


@CHANGES
def test_a_result_that_came_wrong_is_not_delivered(
    way: Way, pacs: FakePacs, change: Change
) -> None:
    way.receive()
    way.plan()
    way.work()
    wrong = way.change(ResultRow, change)
    way.deliver()
    assert way.item().state == "failed"
    assert "not those that were made" in way.item().reason
    assert pacs.received == []
    assert wrong.exists()


@pytest.mark.parametrize(
    "changed",
    [{"route": "other"}, {"model_sha256": "2" * 64}, {"series_uid": "1.2.5"},
     {"model_version": "2.0.0"}],
)  # fmt: skip
def test_a_batch_whose_row_was_changed_is_not_worked(
    way: Way, pacs: FakePacs, changed: dict[str, Any]
) -> None:
    way.receive()
    way.plan()
    with way.life.ledger.write() as unit:
        unit.session.execute(update(BatchRow).values(**changed))
    way.work()
    way.deliver()
    assert way.item().state == "failed"
    assert "not what was planned" in way.item().reason
    assert way.life.rows(select(BatchRow.state))[0].state == "done"
    way.retry()
    way.plan()
    way.work()
    way.deliver()
    assert way.item().state == "delivered"
    assert len(pacs.received) == 1


@pytest.mark.parametrize("key", ["strength", "output", "destinations", "series_number"])
def test_a_plan_that_was_changed_is_not_worked(way: Way, key: str) -> None:
    way.receive()
    way.plan()
    with way.life.ledger.write() as unit:
        (row,) = unit.session.execute(select(BatchRow)).scalars()
        row.plan = dict(row.plan) | {key: ["elsewhere"] if key == "destinations" else 0.25}
    way.work()
    assert way.item().state == "failed"


@pytest.mark.parametrize(
    "damage",
    ["replace(plan, '{', 'z')", "CAST(x'7bff22' AS TEXT)", "''", "'[]'", "'null'", "'\"x\"'", "7"],
)
@pytest.mark.parametrize("hashed", [True, False])
def test_a_plan_that_is_not_even_one_fails_its_own_batch(
    way: Way, pacs: FakePacs, damage: str, hashed: bool
) -> None:
    """Of a batch of an earlier release there is no hash to tell."""
    way.receive()
    way.plan()
    with way.life.ledger.write() as unit:
        unit.session.execute(text(f"UPDATE batch SET plan = {damage}"))
        if not hashed:
            unit.session.execute(update(BatchRow).values(plan_sha256=None))
    way.work()
    assert way.item().state == "failed"
    assert "not what was planned" in way.item().reason
    way.retry()
    way.plan()
    way.work()
    way.deliver()
    assert len(pacs.received) == 1


def test_a_batch_of_an_earlier_release_is_worked(way: Way, pacs: FakePacs) -> None:
    way.receive()
    way.plan()
    with way.life.ledger.write() as unit:
        unit.session.execute(update(BatchRow).values(plan_sha256=None))
    way.work()
    way.deliver()
    assert len(pacs.received) == 1


def test_the_hash_of_a_plan_does_not_depend_on_its_order() -> None:
    row: Any = SimpleNamespace(
        series_uid="1.2", route="ct", model_name="m", model_version="1.0.0", model_sha256="0",
        plan={"a": 1, "b": [1.5, "x"]},
    )  # fmt: skip
    other = SimpleNamespace(**(vars(row) | {"plan": {"b": [1.5, "x"], "a": 1}}))
    assert plan_sha256(row) == plan_sha256(other)  # type: ignore[arg-type]
    other.plan = {"a": 1, "b": [1.5, "y"]}
    assert plan_sha256(row) != plan_sha256(other)  # type: ignore[arg-type]

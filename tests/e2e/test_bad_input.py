"""Whatever is sent ends in a clear state with a reason, and costs nothing else anything."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from sqlalchemy import select

from dicom_node.db.engine import make_engine
from dicom_node.db.tables import InstanceRow, WorkItemRow
from dicom_node.db.unit_of_work import Ledger
from dicom_node.outbox import SilentBell
from dicom_node.settings import load
from tests.factories.bad import Bad, everything
from tests.factories.dicom import ct_series
from tests.factories.models import STORED, model_version
from tests.node import RunningNode
from tests.pacs import FakePacs
from tests.scanner import send
from tests.unit.dicom_node.scp.fakes import (
    RELEASE_RQ,
    RawPeer,
    message,
    store_request,
)

CASES = everything()
TERMINAL = {"delivered", "passed", "failed"}
SECRETS = re.compile("secret|19550517", re.IGNORECASE)


@dataclass(frozen=True)
class Item:
    """What the ledger says of one work item."""

    instance: str
    study: str | None
    state: str
    reason: str | None
    size: int


@dataclass(frozen=True)
class Outcome:
    """What became of everything that was sent to one node."""

    items: Sequence[Item]
    statuses: dict[str, int]
    good: Sequence[Dataset]
    delivered: set[str]
    node: RunningNode
    log: str


def items(node: RunningNode) -> list[Item]:
    engine = make_engine(load(node.config).database_url)
    with Ledger(engine, SilentBell()).read() as session:
        rows = session.execute(
            select(
                InstanceRow.sop_instance_uid, InstanceRow.study_uid, WorkItemRow.state,
                WorkItemRow.reason, InstanceRow.size,
            )
            .outerjoin(WorkItemRow, WorkItemRow.instance_id == InstanceRow.id)
            .order_by(InstanceRow.id)
        ).all()  # fmt: skip
    engine.dispose()
    return [Item(uid, study, state or "", reason, size) for uid, study, state, reason, size in rows]


def wait(node: RunningNode, count: int, timeout: float = 120.0) -> list[Item]:
    """Wait until `count` instances have been received and all work has ended."""
    deadline = time.monotonic() + timeout
    while True:
        found = items(node)
        if len(found) >= count and all(item.state in TERMINAL for item in found):
            return found
        if time.monotonic() > deadline:
            pending = [item for item in found if item.state not in TERMINAL]
            raise AssertionError(
                f"{len(found)} of {count}, unfinished {pending}; {node.read_log()}"
            )
        time.sleep(0.3)


def send_raw(node: RunningNode, objects: Sequence[Bad]) -> dict[str, int]:
    """Send objects over as few associations as their contexts allow; name to status."""
    statuses: dict[str, int] = {}
    for start in range(0, len(objects), 60):
        some = objects[start : start + 60]
        kinds = sorted({(one.sop_class, one.syntax) for one in some})
        number = {kind: 2 * i + 1 for i, kind in enumerate(kinds)}
        with RawPeer(node.port) as peer:
            peer.socket.settimeout(60)
            peer.associate(contexts=[(number[kind], kind[0], (kind[1],)) for kind in kinds])
            for one in some:
                context = number[one.sop_class, one.syntax]
                request = store_request(one.sop_class, one.instance)
                peer.send(message(request, one.data, context=context))
                statuses[one.name] = peer.status()
            peer.send(RELEASE_RQ)
            peer.receive()
    return statuses


def toy_models(folder: Path) -> None:
    model_version(folder, "toy-ct")
    model_version(folder, "toy-xray", input_spec=STORED)


def route(name: str, when: str, model: str, destination: str) -> str:
    return (
        f'name = "{name}"\nwhen = {{ {when} }}\nmodel = "{model}@1.0.0"\n'
        f'destinations = ["{destination}"]'
    )


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outcome]:
    """Send every bad object to one node, good ones before, between and after."""
    folder = tmp_path_factory.mktemp("bad")
    toy_models(folder / "models")
    node = RunningNode(folder / "node")
    good = ct_series(9, size=(32, 32))
    with FakePacs() as pacs:
        node.configure(
            {"pacs": ("PACS", pacs.port)},
            routes=[
                route("ct", 'Modality = "CT"', "toy-ct", "pacs"),
                route("xray", 'Modality = ["CR", "DX", "XA"]', "toy-xray", "pacs"),
            ],
            extra=f'[models]\npath = "{folder / "models"}"\n',
        )
        try:
            node.start()
            sending = folder / "good"
            sending.mkdir()
            assert send(good[:3], node.port, sending) == [0] * 3
            half = len(CASES) // 2
            statuses = send_raw(node, CASES[:half])
            assert send(good[3:6], node.port, sending) == [0] * 3
            statuses |= send_raw(node, CASES[half:])
            assert send(good[6:], node.port, sending) == [0] * 3
            found = wait(node, len(CASES) + len(good))
            log = node.log.read_text(encoding="utf-8")
            sources = {source for one in pacs.received for source in sources_of(one.data)}
            yield Outcome(found, statuses, good, sources, node, log)
        finally:
            node.kill()


def sources_of(data: bytes) -> list[str]:
    """SOP Instance UIDs that a delivered result says it was made from."""
    result = dcmread(BytesIO(data), force=True, stop_before_pixels=True)
    return [str(item.ReferencedSOPInstanceUID) for item in result.SourceImageSequence]


def item_of(outcome: Outcome, case: Bad) -> Item:
    """The work item of a case; cases that share a UID are told apart by their bytes."""
    twins = [one for one in CASES if one.instance == case.instance]
    found = [item for item in outcome.items if item.instance == case.instance]
    assert len(found) == len(twins)
    return found[twins.index(case)]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_ends_in_a_clear_state(outcome: Outcome, case: Bad) -> None:
    item = item_of(outcome, case)
    assert item.state in case.state.split("|"), item.reason
    if item.state != "delivered":
        assert item.reason, "no reason"
        assert len(item.reason) > 10
        assert re.search(case.reason, item.reason), item.reason


def test_what_is_good_is_delivered(outcome: Outcome) -> None:
    states = {item.instance: item.state for item in outcome.items}
    assert [states[str(one.SOPInstanceUID)] for one in outcome.good] == ["delivered"] * 9
    assert {str(one.SOPInstanceUID) for one in outcome.good} <= outcome.delivered


def test_nothing_is_refused_that_can_be_kept(outcome: Outcome) -> None:
    assert set(outcome.statuses.values()) == {0}


def test_the_node_lives_and_logs_no_trace(outcome: Outcome) -> None:
    lines = outcome.log.splitlines()
    for word in ("raised unexpected", "Traceback", "process.died", "batch.retry"):
        assert [line for line in lines if word in line][:3] == []
    assert outcome.node.command("study", "list", "--json")


def test_no_patient_is_named_in_logs_reasons_and_audit(outcome: Outcome) -> None:
    assert [line for line in outcome.log.splitlines() if SECRETS.search(line)] == []
    assert [item for item in outcome.items if SECRETS.search(item.reason or "")] == []
    export = outcome.node.command("audit", "export")
    assert len(export.splitlines()) > len(CASES)
    assert [line for line in export.splitlines() if SECRETS.search(line)] == []


def test_study_show_says_why(outcome: Outcome) -> None:
    by_name = {case.name: item_of(outcome, case) for case in CASES}
    cut = by_name["cut in the pixel data"]
    assert "truncated" in outcome.node.command("study", "show", str(cut.study))
    listed = json.loads(outcome.node.command("study", "list", "--json", "--limit", "500"))
    assert {"(unreadable)"} & {row["study_uid"] for row in listed}
    shown = outcome.node.command("study", "show", "(unreadable)", "--items")
    assert by_name["random bytes"].instance in shown
    assert not SECRETS.search(shown)


def test_the_reasons_can_be_read(outcome: Outcome) -> None:
    """With ``-s``, a table to be read as an administrator would."""
    for case in CASES:
        item = item_of(outcome, case)
        print(f"{case.name:45.45} {item.state:10} {item.reason or ''}")

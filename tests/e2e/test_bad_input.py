"""Whatever is sent ends in a clear state with a reason, and costs nothing else anything."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.filereader import read_file_meta_info
from pydicom.uid import generate_uid
from sqlalchemy import select

from dicom_node.bell.outbox import SilentBell
from dicom_node.ledger.engine import make_engine
from dicom_node.ledger.tables import InstanceRow, WorkItemRow
from dicom_node.ledger.unit_of_work import Ledger
from dicom_node.settings import load
from tests.support.broken_pacs import Breach, BrokenPacs
from tests.support.factories.bad import (
    CT,
    DELIVERED,
    EXPLICIT,
    FAILED,
    Bad,
    bad,
    data_set,
    everything,
    image,
    radiograph,
)
from tests.support.factories.dicom import ct_series
from tests.support.factories.models import STORED, model_version
from tests.support.node import RunningNode
from tests.support.pacs import FakePacs
from tests.support.scanner import send
from tests.support.wire import (
    ABORT,
    IMPLICIT,
    RELEASE_RQ,
    RawPeer,
    data_set_of,
    message,
    p_data,
    pdv,
    store_request,
)

CASES = everything()
DIRECTORY = "1.2.840.10008.1.3.10"
MOST_GIGABYTES = 3
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
    unkind: dict[str, str]
    broken: set[str]
    large: str
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


def route(name: str, when: str, model: str, destination: str) -> str:
    return (
        f'name = "{name}"\nwhen = {{ {when} }}\nmodel = "{model}@1.0.0"\n'
        f'destinations = ["{destination}"]'
    )


ROUTES = [
    route("ct", 'Modality = "CT"', "toy-ct", "pacs"),
    route("xray", 'Modality = ["CR", "DX", "XA"]', "toy-xray", "pacs"),
]

UNKIND: dict[str, tuple[Callable[[], FakePacs | BrokenPacs], str, str]] = {
    "refuses-for-now": (lambda: FakePacs(statuses=[0xA700, 0xA700]), DELIVERED, ""),
    "refuses-for-ever": (lambda: FakePacs(statuses=lambda *_: 0xA700), FAILED, "0xA700|in time"),
    "class-not-supported": (lambda: FakePacs(statuses=lambda *_: 0x0122), FAILED, "0x0122"),
    "does-not-understand": (lambda: FakePacs(statuses=lambda *_: 0xC000), FAILED, "0xC000"),
    "rejects": (lambda: FakePacs(reject=(1, 1, 7)), FAILED, "AE title"),
    "accepts-nothing": (lambda: FakePacs(accepted=[("1.2.840.10008.1.1", [IMPLICIT])]), FAILED,
                        "accept"),
    "hangs": (lambda: FakePacs(hang_after=0), FAILED, "no response in time"),
    "closes": (lambda: FakePacs(close_after=0), FAILED, "clos|reset"),
    "aborts": (lambda: FakePacs(abort_after=0), FAILED, "abort"),
    "resets-in-the-middle": (lambda: BrokenPacs(Breach.RESETS_MID_TRANSFER), FAILED, "clos|reset"),
    "speaks-garbage": (lambda: BrokenPacs(Breach.GARBAGE), FAILED, ""),
    "half-a-response": (lambda: BrokenPacs(Breach.HALF_RESPONSE), FAILED, ""),
    "answers-about-another": (lambda: BrokenPacs(Breach.WRONG_INSTANCE), FAILED, ""),
}  # fmt: skip
"""Destinations: how each misbehaves, how its work ends, and what the reason must say."""


def break_associations(node: RunningNode) -> set[str]:
    """Begin to send in five ways that end in the middle; returns the UIDs that came in part."""
    data = data_set(image())
    tried: set[str] = set()
    for end in ("abort", "reset", "close", "garbage", "release"):
        uid = str(generate_uid())
        whole = message(store_request(CT, uid), data, chunk=100)
        pdu = len(message(store_request(CT, uid), data[:500], chunk=100))
        peer = RawPeer(node.port)
        peer.associate(contexts=[(1, CT, (EXPLICIT,))])
        if end in ("reset", "close"):
            peer.send(whole[: pdu + 17])
            peer.reset() if end == "reset" else peer.socket.close()
        else:
            last = {"abort": ABORT, "garbage": b"GET / HTTP/1.1\r\n\r\n", "release": RELEASE_RQ}
            begun = message(store_request(CT, uid), None)
            part = p_data(pdv(data[:200], command=False, last=False))
            peer.send(begun, part, last[end])
            while peer.receive()[0]:  # whatever it answers, until it closes
                pass
            peer.socket.close()
        tried.add(uid)
    return tried


def large_radiograph() -> Dataset:
    """A radiograph of 6000 x 6000 pixels, 72 MB."""
    pixels = np.random.default_rng(0).integers(0, 4096, (6000, 6000), dtype=np.uint16)
    return radiograph(Rows=6000, Columns=6000, PixelData=pixels.tobytes())


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outcome]:
    """Send every bad object to one node with bad neighbours; good ones before, between, after."""
    folder = tmp_path_factory.mktemp("bad")
    model_version(folder / "models", "toy-ct")
    model_version(folder / "models", "toy-xray", input_spec=STORED)
    node = RunningNode(folder / "node")
    good = ct_series(9, size=(32, 32))
    for_unkind = {name: image(ProtocolName=name) for name in UNKIND}
    with ExitStack() as stack:
        pacs = stack.enter_context(FakePacs())
        ports: dict[str, int] = {}
        for name, (make, *_) in UNKIND.items():
            unkind_pacs = make()
            stack.enter_context(unkind_pacs)
            ports[name] = unkind_pacs.port
        node.configure(
            {"pacs": ("PACS", pacs.port)} | {name: ("PACS", port) for name, port in ports.items()},
            routes=[
                *(route(name, f'ProtocolName = "{name}"', "toy-ct", name) for name in UNKIND),
                *ROUTES,
            ],
            extra=f'[models]\npath = "{folder / "models"}"\nunsigned = "accept"\n',
        )
        text = node.config.read_text(encoding="utf-8")
        text = text.replace("[delivery]", "[delivery]\ngive_up_hours = 0.007")
        node.config.write_text(text, encoding="utf-8")
        try:
            node.start()
            sending = folder / "good"
            sending.mkdir()
            assert send(list(for_unkind.values()), node.port, sending) == [0] * len(UNKIND)
            assert send(good[:3], node.port, sending) == [0] * 3
            large = bad("large", large_radiograph(), DELIVERED)
            assert send_raw(node, [large]) == {"large": 0}
            broken = break_associations(node)
            half = len(CASES) // 2
            statuses = send_raw(node, CASES[:half])
            assert send(good[3:6], node.port, sending) == [0] * 3
            statuses |= send_raw(node, CASES[half:])
            assert send(good[6:], node.port, sending) == [0] * 3
            found = wait(node, len(CASES) + len(good) + len(UNKIND) + 1)
            sources = {source for one in pacs.received for source in sources_of(one.data)}
            unkind = {name: str(one.SOPInstanceUID) for name, one in for_unkind.items()}
            log = node.log.read_text(encoding="utf-8")
            yield Outcome(found, statuses, good, sources, unkind, broken, large.instance, node, log)
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


@pytest.mark.parametrize("name", UNKIND)
def test_a_destination_that_misbehaves(outcome: Outcome, name: str) -> None:
    _, state, reason = UNKIND[name]
    (item,) = [item for item in outcome.items if item.instance == outcome.unkind[name]]
    assert item.state == state, item.reason
    assert re.search(reason, item.reason or "", re.IGNORECASE), item.reason


def test_broken_associations_leave_nothing(outcome: Outcome) -> None:
    assert not outcome.broken & {item.instance for item in outcome.items}
    assert list((outcome.node.folder / "spool" / "incoming").iterdir()) == []


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


CODE = re.compile(r"Traceback|<[a-z_.]+ object at|Error\(|^\w+(Error|Exception)\b|\bNone\b|[{}\\]")
"""What a programmer leaves behind, and an administrator can do nothing with."""


def test_the_reasons_can_be_read(outcome: Outcome) -> None:
    """One line each, in words, and the same fault in the same words: without the UID."""
    reasons = {item.reason for item in outcome.items if item.reason}
    assert len(reasons) > 10
    for reason in reasons:
        assert reason == reason.strip()
        assert reason.isprintable(), reason
        assert len(reason) < 400
        assert len(re.findall(r"[A-Za-z]{2,}", reason)) >= 3, reason
        assert not CODE.search(reason), reason
    ended = [item for item in outcome.items if item.state != "delivered"]
    assert [item for item in ended if item.instance in (item.reason or "")] == []


def test_odd_files_of_many_makers_all_end(outcome: Outcome, shared_data: Path) -> None:
    files = sorted(path for path in (shared_data / "odd").rglob("*") if path.is_file())
    objects = [as_stored(path) for path in files]
    statuses = send_raw(outcome.node, objects)
    assert set(statuses.values()) <= {0x0000, 0x0122, 0xC000}  # no storage class; no data at all
    kept = {one.instance for one in objects if statuses[one.name] == 0}
    before = len(outcome.items)
    found = wait(outcome.node, before + len(kept))[before:]
    ends: dict[str, Item] = {}
    for item in found:
        ends.setdefault(item.instance, item)
        assert item.state == "delivered" or len(item.reason or "") > 10
    assert kept <= set(ends) | {item.instance for item in outcome.items}
    log = outcome.node.log.read_text(encoding="utf-8")
    for word in ("raised unexpected", "Traceback", "process.died", "batch.retry"):
        assert word not in log


def as_stored(path: Path) -> Bad:
    """A file as a scanner would send it; what is no DICOM file goes as if it were a CT slice."""
    data = path.read_bytes()
    instance, sop_class, syntax = str(generate_uid()), CT, EXPLICIT
    if data[128:140] == b"DICM\x02\0\0\0UL\x04\0":
        meta = read_file_meta_info(path)
        instance = str(meta.get("MediaStorageSOPInstanceUID") or instance)
        named = str(meta.get("MediaStorageSOPClassUID") or sop_class)
        sop_class = sop_class if named == DIRECTORY else named
        syntax = str(meta.get("TransferSyntaxUID") or IMPLICIT)
        data = data_set_of(data)
    elif data[128:132] != b"DICM":
        header = dcmread(path, force=True, stop_before_pixels=True)
        if "SOPInstanceUID" in header:
            instance, sop_class = str(header.SOPInstanceUID), str(header.SOPClassUID)
            syntax = IMPLICIT if header.original_encoding[0] else EXPLICIT
    return Bad(str(path), data, "", "", instance, sop_class, syntax)


def test_a_large_radiograph_and_bombs_stay_within_memory(outcome: Outcome) -> None:
    (item,) = [item for item in outcome.items if item.instance == outcome.large]
    assert item.state == DELIVERED, item.reason
    for role, pid in outcome.node.children().items():
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
        peak = int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 2**20  # type: ignore[index]
        assert peak < MOST_GIGABYTES, role

"""Kill any process at any moment, flush the broker, restart: the same results, each once."""

from __future__ import annotations

import hashlib
import shutil
import threading
import time
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread

from tests.support.factories.dicom import ct_series
from tests.support.node import RunningNode, done
from tests.support.pacs import FakePacs
from tests.support.scanner import send

pytestmark = pytest.mark.holds(number=3)

SLICES = 40


TIMES = (
    "InstanceCreationDate", "InstanceCreationTime", "DateOfSecondaryCapture",
    "TimeOfSecondaryCapture",
)  # fmt: skip


def fingerprints(pacs: FakePacs) -> dict[str, str]:
    """SOP Instance UID to a hash of all that arrived, but for when it was planned."""
    found = {}
    for one in pacs.received:
        result = dcmread(BytesIO(one.data), force=True)
        assert len(result.PixelData) >= result.Rows * result.Columns
        for keyword in TIMES:
            assert result[keyword].value
            result[keyword].value = ""
        result.ContributingEquipmentSequence[-1].ContributionDateTime = ""
        found[one.sop_instance_uid] = hashlib.sha256(result.to_json().encode()).hexdigest()
    return found


def send_until_accepted(
    series: list[Dataset], port: int, folder: Path, stop: threading.Event
) -> None:
    """What a scanner does: send again what was not answered with success."""
    left = list(series)
    while left and not stop.is_set():
        statuses = send(left, port, folder)
        left = [each for each, status in zip(left, statuses, strict=True) if status != 0]
        if left:
            time.sleep(0.5)


@pytest.mark.parametrize("victim", ["intake", "upkeep", "infer", "deliver", "everything"])
def test_kill_in_mid_study_gives_the_same_results_each_once(
    running_node: RunningNode, tmp_path: Path, victim: str
) -> None:
    series = ct_series(SLICES, size=(96, 96))
    stop = threading.Event()
    with FakePacs(delay=0.02) as pacs:
        running_node.configure(
            {"pacs": ("PACS", pacs.port)},
            extra="[workers]\nlease_seconds = 4\n",
        )
        running_node.start()
        scanner = threading.Thread(
            target=send_until_accepted, args=(series, running_node.port, tmp_path, stop)
        )
        scanner.start()
        try:
            running_node.wait(lambda states: sum(states.values()) >= 5)
            if victim == "everything":
                running_node.kill()
                shutil.rmtree(running_node.folder / "spool" / "broker", ignore_errors=True)
                running_node.start()
            else:
                running_node.kill_child(victim)
            scanner.join(60)
            assert not scanner.is_alive()
            states = running_node.wait(done(SLICES))
        finally:
            stop.set()
            scanner.join(30)
        assert states["delivered"] == SLICES
        assert len(set(pacs.uids)) == SLICES
        assert not pacs.conflicts, "a result arrived twice with different bytes"


def test_losing_the_whole_broker_loses_nothing(running_node: RunningNode, tmp_path: Path) -> None:
    series = ct_series(12, size=(64, 64))
    with FakePacs() as pacs:
        running_node.configure({"pacs": ("PACS", pacs.port)})
        running_node.start()
        messages = running_node.folder / "spool" / "broker" / "messages"
        flush = threading.Event()

        def keep_flushing() -> None:
            while not flush.is_set():
                for message in list(messages.glob("*")):
                    message.unlink(missing_ok=True)
                time.sleep(0.005)

        thief = threading.Thread(target=keep_flushing)
        thief.start()
        try:
            send(series, running_node.port, tmp_path)
            running_node.wait(lambda states: states["planned"] >= 1)
            time.sleep(1.5)
        finally:
            flush.set()
            thief.join()
        assert running_node.wait(done(12))["delivered"] == 12
        assert not pacs.duplicates


def test_results_are_the_same_whoever_makes_them(tmp_path: Path) -> None:
    series = ct_series(3, size=(64, 64))
    seen: list[dict[str, str]] = []
    for name in ("one", "two"):
        node = RunningNode(tmp_path / name)
        try:
            with FakePacs() as pacs:
                node.configure({"pacs": ("PACS", pacs.port)})
                node.start()
                send(series, node.port, tmp_path)
                node.wait(done(3))
                seen.append(fingerprints(pacs))
                node.stop()
        finally:
            node.kill()
    assert len(seen[0]) == 3
    assert seen[0] == seen[1], "UIDs are derived from the source, and pixels from it alone"

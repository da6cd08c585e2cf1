"""When the intake says that the spool is full, and when it does not."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from dicom_node.errors import SpoolAway, StorageError
from dicom_node.intake import intake as module
from tests.support.intakes import IntakeNode

MEGABYTE = 2**20


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[IntakeNode]:
    """At least 100 MB and a tenth of the disk are to be free; each question looks anew."""
    monkeypatch.setattr(module, "_SPACE_LASTS", -1.0)
    node = IntakeNode(tmp_path, minimum_free_fraction=0.1, minimum_free_bytes=100 * MEGABYTE)
    yield node
    node.intake.stop()


def set_free(monkeypatch: pytest.MonkeyPatch, node: IntakeNode, free: int, fraction: float) -> None:
    monkeypatch.setattr(node.spool, "free_bytes", lambda: free)
    monkeypatch.setattr(node.spool, "free_fraction", lambda: fraction)


@pytest.mark.parametrize(
    ("free", "fraction", "enough"),
    [
        (100 * MEGABYTE, 0.1, True),
        (100 * MEGABYTE - 1, 0.1, False),
        (100 * MEGABYTE, 0.0999, False),
        (100 * MEGABYTE - 1, 0.9, False),
        (900 * MEGABYTE, 0.0999, False),
        (900 * MEGABYTE, 0.9, True),
    ],
)
def test_below_either_watermark_the_spool_is_full_and_that_is_said(
    node: IntakeNode, monkeypatch: pytest.MonkeyPatch, free: int, fraction: float, enough: bool
) -> None:
    set_free(monkeypatch, node, free, fraction)
    with capture_logs() as lines:
        assert node.intake.has_space(0) is enough
    assert [line["event"] for line in lines] == ([] if enough else ["spool.full"])
    for line in lines:
        assert line["answer"] == "0xA700"
        assert line["free_megabytes"] == free // MEGABYTE
        assert line["free_percent"] == round(100 * fraction, 1)


def test_who_asks_while_the_spool_is_measured_for_the_first_time_is_not_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As several associations do that begin at once on a node that has just started."""
    node = IntakeNode(tmp_path, minimum_free_fraction=0.1, minimum_free_bytes=100 * MEGABYTE)
    set_free(monkeypatch, node, 900 * MEGABYTE, 0.9)
    measuring, go_on = threading.Event(), threading.Event()

    def slow_once() -> int:
        if not measuring.is_set():
            measuring.set()
            assert go_on.wait(10)
        return 900 * MEGABYTE

    monkeypatch.setattr(node.spool, "free_bytes", slow_once)
    first = threading.Thread(target=node.intake.has_space, args=(0,))
    first.start()
    assert measuring.wait(10)
    assert node.intake.has_space(0)
    go_on.set()
    first.join()
    node.intake.stop()


@pytest.mark.parametrize(("size", "enough"), [(MEGABYTE, True), (MEGABYTE + 1, False)])
def test_an_object_is_taken_that_leaves_just_enough(
    node: IntakeNode, monkeypatch: pytest.MonkeyPatch, size: int, enough: bool
) -> None:
    set_free(monkeypatch, node, 101 * MEGABYTE, 0.5)
    with capture_logs() as lines:
        assert node.intake.has_space(size) is enough
    assert lines == [], "the spool is not full: the object is large"


@pytest.mark.parametrize(
    ("fault", "event"),
    [(SpoolAway("away"), "spool.away"), (StorageError("no answer"), "spool.unreadable")],
)
def test_a_spool_that_cannot_be_asked_has_no_space_until_it_can(
    node: IntakeNode, monkeypatch: pytest.MonkeyPatch, fault: Exception, event: str
) -> None:
    set_free(monkeypatch, node, 900 * MEGABYTE, 0.9)
    assert node.intake.has_space(0)

    def away() -> None:
        raise fault

    with monkeypatch.context() as patch, capture_logs() as lines:
        patch.setattr(node.spool, "require_there", away)
        assert not node.intake.has_space(0)
    assert [(line["event"], line["error"]) for line in lines] == [(event, str(fault))]
    assert node.intake.has_space(0)


def test_the_disk_is_not_asked_anew_for_every_object(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SPACE_LASTS", 3600.0)
    node = IntakeNode(tmp_path)
    asked: list[int] = []

    def free_bytes() -> int:
        asked.append(1)
        return 900 * MEGABYTE

    monkeypatch.setattr(node.spool, "free_bytes", free_bytes)
    assert [node.intake.has_space(0) for _ in range(5)] == [True] * 5
    assert len(asked) == 1
    node.intake.stop()

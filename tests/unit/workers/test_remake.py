"""A result whose file came wrong needs no backup where it can be made again, byte for byte."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from dicom_node.errors import NodeError
from dicom_node.ledger.audit_events import AuditEvent
from dicom_node.ledger.tables import AuditRow, InstanceRow, ResultRow
from tests.support.past import Past
from workers.remake import Remade, remake


@pytest.fixture
def spoilt(was: Past) -> Iterator[Path]:
    """The file of the first result, with one bit changed; as it was again afterwards."""
    path = was.node.spool.path(was.rows(ResultRow.path)[0][0])
    whole = path.read_bytes()
    changed = bytearray(whole)
    changed[-1] ^= 1
    path.write_bytes(changed)
    yield path
    path.write_bytes(whole)


def made_again(was: Past) -> Remade:
    ids = [row[0] for row in was.rows(ResultRow.work_item_id)]
    return remake(was.node, ids, "anna@pacs1")


def first(was: Past) -> tuple[str, str]:
    ((name, sha256),) = was.rows(ResultRow.path, ResultRow.sha256)[:1]
    return name, sha256


def test_a_file_that_came_wrong_is_made_again_and_kept_for_a_person(
    was: Past, spoilt: Path
) -> None:
    before = was.rows(ResultRow.id, ResultRow.path)
    done = made_again(was)
    assert (len(done.made), done.left) == (1, {})
    name, sha256 = first(was)
    path = was.node.spool.path(name)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == sha256
    assert path != spoilt
    assert spoilt.exists()
    assert was.rows(ResultRow.id, ResultRow.path)[1:] == before[1:]
    (said,) = [
        detail
        for event, detail in was.rows(AuditRow.event, AuditRow.detail)
        if event == AuditEvent.RESULT_REMADE.value
    ]
    assert said["who"] == "anna@pacs1"


def test_a_file_that_is_gone_is_made_again(was: Past, spoilt: Path) -> None:
    spoilt.unlink()
    assert len(made_again(was).made) == 1


def test_what_is_right_is_left_alone(was: Past) -> None:
    before = was.rows(ResultRow.id, ResultRow.path)
    done = made_again(was)
    assert (done.made, done.left) == ((), {})
    assert was.rows(ResultRow.id, ResultRow.path) == before


def test_what_comes_out_otherwise_is_not_kept(was: Past, spoilt: Path) -> None:
    before = files(was)
    was.change(ResultRow, sha256="0" * 64)
    done = made_again(was)
    assert done.made == ()
    assert len(done.left) == 5
    assert all("other bytes" in why for why in done.left.values())
    assert files(was) == before


def test_what_cannot_be_made_again_is_said(was: Past, spoilt: Path) -> None:
    shutil.rmtree(was.models / "toy-ct")
    done = made_again(was)
    assert done.made == ()
    (why,) = done.left.values()
    assert "toy-ct" in why
    was.change(InstanceRow, path=None)
    assert "no longer kept" in next(iter(made_again(was).left.values()))


def files(was: Past) -> set[Path]:
    return set(was.node.spool.root.rglob("*.dcm"))


def test_nothing_is_kept_past_the_watermark_and_that_is_said(
    was: Past, spoilt: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, rows = files(was), was.rows(ResultRow.id, ResultRow.path)
    monkeypatch.setattr(was.node.spool, "free_bytes", lambda: 512 * 2**20 + 1)
    done = made_again(was)
    ((uid, why),) = done.left.items()
    assert spoilt.name.startswith(uid)
    assert "minimum_free" in why
    assert (done.made, files(was)) == ((), before)
    assert was.rows(ResultRow.id, ResultRow.path) == rows


def test_what_the_ledger_names_no_more_leaves_no_file(
    was: Past, spoilt: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Retention forgets it just then."""
    before, write = files(was), was.node.spool.write_atomic

    def meanwhile(path: Path, data: bytes) -> None:
        write(path, data)
        was.change(ResultRow, path=None)

    monkeypatch.setattr(was.node.spool, "write_atomic", meanwhile)
    made_again(was)
    assert files(was) == before
    assert {path for (path,) in was.rows(ResultRow.path)} == {None}


def test_what_the_ledger_names_no_more_counts_as_left_and_is_not_recorded_as_made(
    was: Past, spoilt: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = was.node.spool.write_atomic

    def meanwhile(path: Path, data: bytes) -> None:
        write(path, data)
        was.change(ResultRow, path=None)

    monkeypatch.setattr(was.node.spool, "write_atomic", meanwhile)
    done = made_again(was)
    assert done.made == ()
    ((uid, why),) = done.left.items()
    assert spoilt.name.startswith(uid)
    assert "meanwhile" in why
    events = [event for (event,) in was.rows(AuditRow.event)]
    assert AuditEvent.RESULT_REMADE.value not in events


def test_nothing_is_made_while_the_spool_is_away(was: Past, spoilt: Path) -> None:
    marker = was.node.spool.root / "spool.marker"
    text = marker.read_text()
    marker.unlink()
    try:
        with pytest.raises(NodeError, match="away"):
            made_again(was)
    finally:
        marker.write_text(text)

"""A spool that is away is waited for; nothing is made of it, and nothing is made in its place."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select, update
from structlog.testing import capture_logs

from dicom_node.errors import SpoolAway, StorageError
from dicom_node.intake.intake import LedgerIntake
from dicom_node.intake.marker import open_spool
from dicom_node.ledger import spools
from dicom_node.ledger.tables import InstanceRow, SpoolRow, WorkItemRow
from dicom_node.network.accept.ports import SUCCESS
from dicom_node.node import Node
from dicom_node.settings import Settings
from dicom_node.spool.spool import MARKER, Spool
from tests.support.factories.received import CALLER, received
from tests.support.ledgers import Life, fresh_url, open_ledger


@pytest.fixture
def life(tmp_path: Path) -> Iterator[Life]:
    """The ledger in one folder, the spool in another."""
    life = Life(tmp_path / "node", shared=Spool(tmp_path / "spool"))
    life.associate()
    yield life
    life.close()


class Mount:
    """The spool's folder, which can be away and come back; an empty mount point stays behind."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._away = root.with_name("away")

    def leave(self) -> None:
        self._root.rename(self._away)
        self._root.mkdir()

    def come_back(self) -> None:
        self._root.rmdir()  # nothing was made there
        self._away.rename(self._root)


@pytest.fixture
def mount(life: Life) -> Mount:
    return Mount(life.spool.root)


def states(life: Life) -> list[str]:
    return [row.state for row in life.rows(select(WorkItemRow.state))]


def test_planning_waits_for_it_and_goes_on(life: Life, mount: Mount) -> None:
    life.receive("1.2.4.1")
    mount.leave()
    for _ in range(5):
        with pytest.raises(SpoolAway, match="is it mounted"):
            life.planner.plan()
    assert states(life) == []
    mount.come_back()
    assert life.planner.plan() == 1
    assert states(life) == ["planned", "planned"]
    assert life.rows(select(InstanceRow.tries)) == [(0,)]


def test_a_file_that_is_missing_counts_where_the_spool_is(life: Life, mount: Mount) -> None:
    life.receive("1.2.4.1")
    ((name,),) = life.rows(select(InstanceRow.path))
    mount.leave()
    with pytest.raises(SpoolAway):
        life.spool.open(name, "1.2.4.1")
    mount.come_back()
    life.spool.path(name).unlink()
    life.planner.plan()
    assert states(life) == ["failed"]


def test_nothing_is_forgotten_or_swept(life: Life, mount: Mount) -> None:
    life.receive("1.2.4.1")
    life.denoise_all()
    while life.due_parcels():
        life.deliver_all()
    life.clock.advance(1000 * 3600)
    mount.leave()
    with pytest.raises(SpoolAway):
        life.retention.forget()
    with pytest.raises(SpoolAway):
        life.retention.sweep_orphans(0)
    mount.come_back()
    assert None not in [row.path for row in life.rows(select(InstanceRow.path))]


def test_upkeep_waits_without_an_end_and_does_its_other_chores(
    life: Life, mount: Mount, monkeypatch: pytest.MonkeyPatch
) -> None:
    life.receive("1.2.4.1")
    mount.leave()
    monkeypatch.setattr("dicom_node.upkeep.chores.PAUSE_AFTER_ERROR", 0.01)
    closed = threading.Event()
    close = life.planner.close_batches

    def seen() -> int:
        closed.set()
        return close()

    monkeypatch.setattr(life.planner, "close_batches", seen)
    stop = threading.Event()
    thread = threading.Thread(target=life.upkeep.run, args=(stop,))
    thread.start()
    assert closed.wait(30)
    mount.come_back()
    until = 600
    while not states(life) and until:
        stop.wait(0.05)
        until -= 1
    stop.set()
    thread.join()
    assert set(states(life)) == {"planned"}


def an_intake(life: Life) -> LedgerIntake:
    return LedgerIntake(
        life.ledger, life.spool, name="here:1", refuse_conflicts=False,
        minimum_free_fraction=0.0, minimum_free_bytes=0,
    )  # fmt: skip


def test_reception_says_that_it_is_away_and_goes_on_when_it_is_back(
    life: Life, mount: Mount, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dicom_node.intake.intake._SPACE_LASTS", 0.0)
    intake = an_intake(life)
    intake.opened(CALLER)
    one = received(life.spool, "1.2.3", b"data")
    assert intake.has_space(0)
    mount.leave()
    with capture_logs() as logs:
        assert not intake.has_space(0)
    assert [entry["event"] for entry in logs] == ["spool.away"]
    assert "is it mounted" in logs[0]["error"]
    with pytest.raises(StorageError):
        intake.store(one)
    with pytest.raises(StorageError):
        life.spool.incoming()
    mount.come_back()
    assert intake.has_space(0)
    assert intake.store(one) == SUCCESS
    intake.stop()


def test_what_is_put_under_the_mount_point_is_not_taken(life: Life, mount: Mount) -> None:
    """It has the folders of a spool, from a time when something wrote there."""
    intake = an_intake(life)
    intake.opened(CALLER)
    mount.leave()
    root = life.spool.root
    for shard in range(256):
        (root / "instances" / f"{shard:02x}").mkdir(parents=True)
    (root / "incoming").mkdir()
    one = received(life.spool, "1.2.3", b"data")
    with pytest.raises(SpoolAway):
        intake.store(one)
    assert [path for path in (root / "instances").rglob("*") if path.is_file()] == []
    assert life.rows(select(InstanceRow.id)) == []
    intake.stop()


def test_a_resend_while_it_is_away_takes_no_name_from_a_row(life: Life, mount: Mount) -> None:
    life.receive("1.2.4.1")
    before = life.rows(select(InstanceRow.path))
    mount.leave()
    with pytest.raises(StorageError):
        life.receive("1.2.4.1")
    mount.come_back()
    assert life.rows(select(InstanceRow.path)) == before


def opened(life: Life, root: Path, **how: bool) -> Spool:
    return open_spool(root, life.ledger, **how)


def marker_of(life: Life) -> str:
    ((marker,),) = life.rows(select(SpoolRow.marker))
    return str(marker)


def test_a_new_ledger_and_a_new_spool_belong_together(tmp_path: Path) -> None:
    ledger = open_ledger(fresh_url(tmp_path / "ledger"))
    root = tmp_path / "a" / "spool"
    with capture_logs() as lines:
        marker = open_spool(root, ledger).marker
        assert (root / MARKER).read_text().strip() == marker
        assert open_spool(root, ledger).marker == marker
    assert [line["event"] for line in lines] == ["spool.marked"]
    assert (root / "instances" / "00").is_dir()


def test_a_spool_of_an_earlier_release_gets_a_marker(life: Life) -> None:
    life.receive("1.2.4.1")
    (life.spool.root / MARKER).unlink()
    opened(life, life.spool.root)
    assert (life.spool.root / MARKER).read_text().strip() == marker_of(life)


def test_a_ledger_of_an_earlier_release_does_not_take_an_empty_folder(
    life: Life, tmp_path: Path
) -> None:
    life.receive("1.2.4.1")
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(StorageError, match="mount it"):
        opened(life, empty)
    with pytest.raises(StorageError, match="mount it"):
        opened(life, tmp_path / "nowhere")
    assert list(empty.iterdir()) == []
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("there", [True, False], ids=["an empty folder", "no folder"])
def test_a_spool_that_is_away_at_the_start_is_refused_and_nothing_is_made(
    life: Life, tmp_path: Path, there: bool
) -> None:
    marker = opened(life, life.spool.root).marker
    elsewhere = tmp_path / "elsewhere"
    if there:
        elsewhere.mkdir()
    with pytest.raises(SpoolAway, match=rf"is it mounted.*write {marker} into spool.marker"):
        opened(life, elsewhere)
    assert elsewhere.exists() is there
    assert not there or list(elsewhere.iterdir()) == []
    assert opened(life, elsewhere, away=True).marker == marker
    assert elsewhere.exists() is there


def test_another_ledgers_spool_is_refused(life: Life, tmp_path: Path) -> None:
    opened(life, life.spool.root)
    other = Spool(tmp_path / "other")
    with pytest.raises(SpoolAway, match=rf"another ledger's.*{other.marker}"):
        opened(life, other.root)


def test_a_spool_that_was_moved_is_known_and_one_restored_without_its_marker_is_told_how(
    life: Life, tmp_path: Path
) -> None:
    marker = opened(life, life.spool.root).marker
    moved = tmp_path / "moved"
    life.spool.root.rename(moved)
    assert opened(life, moved).marker == marker
    (moved / MARKER).unlink()
    with pytest.raises(SpoolAway):
        opened(life, moved)
    (moved / MARKER).write_text(marker)  # as the message says
    assert opened(life, moved).marker == marker


def test_of_many_that_open_a_new_spool_at_once_all_have_its_marker(tmp_path: Path) -> None:
    found: list[str] = []
    begin = threading.Barrier(8)

    def open_it() -> None:
        begin.wait()
        found.append(Spool(tmp_path / "spool").marker)

    threads = [threading.Thread(target=open_it) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert set(found) == {(tmp_path / "spool" / MARKER).read_text().strip()}


def test_of_two_spools_for_one_new_ledger_the_first_counts(life: Life, tmp_path: Path) -> None:
    first = opened(life, life.spool.root)
    with life.ledger.write() as unit:
        unit.session.execute(update(SpoolRow).values(marker=first.marker))
    with pytest.raises(SpoolAway):
        opened(life, tmp_path / "second")


def test_of_two_that_bring_a_spool_each_to_a_new_ledger_at_once_the_first_counts(
    life: Life, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second has looked, and makes its own; meanwhile the ledger is given the first's."""
    first = Spool(tmp_path / "first")

    def made(root: Path, **how: object) -> Spool:
        if "marker" not in how:
            with life.ledger.write() as unit:
                spools.remember(unit, first.marker)
            life.clock.advance(1)
        return Spool(root, **how)  # type: ignore[arg-type]

    monkeypatch.setattr("dicom_node.intake.marker.Spool", made)
    with pytest.raises(SpoolAway, match="another ledger's"):
        opened(life, tmp_path / "second")
    assert opened(life, first.root).marker == first.marker


def test_a_marker_that_is_damaged_is_none(life: Life) -> None:
    opened(life, life.spool.root)
    (life.spool.root / MARKER).write_text("half")
    with pytest.raises(SpoolAway):
        life.spool.require_there()


def test_who_reads_the_ledger_needs_no_spool(tmp_path: Path) -> None:
    settings = Settings(
        storage={"path": tmp_path / "spool"}, database={"url": fresh_url(tmp_path / "ledger")}
    )
    Node.open(settings)
    (tmp_path / "spool").rename(tmp_path / "away")
    with pytest.raises(SpoolAway):
        Node.open(settings)
    assert Node.open(settings, away=True).spool.root == tmp_path / "spool"
    assert not (tmp_path / "spool").exists()

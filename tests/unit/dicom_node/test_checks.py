"""A check says of every model who vouches for it."""

from __future__ import annotations

import errno
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from sqlalchemy import Engine
from sqlalchemy.pool import QueuePool

from dicom_node import full_disk
from dicom_node.bell.outbox import SilentBell
from dicom_node.checks import look
from dicom_node.finding import Finding
from dicom_node.intake.marker import open_spool
from dicom_node.ledger.bounds import Bounds
from dicom_node.ledger.engine import make_engine
from dicom_node.ledger.unit_of_work import Ledger
from dicom_node.settings import Settings
from dicom_node.settings.sections import DatabaseSettings, StorageSettings
from tests.support.ledgers import fresh_url
from tests.support.servers import free_port
from tests.support.site import ALIAS, NEW, OLD, Site
from tests.support.writers import holding


def test_check_says_who_signed_and_what_is_not_used(site: Site) -> None:
    site.move(OLD, None)
    site.spoil(NEW)
    findings = {each.what: each for each in look(site.life.settings, destinations=False)}
    assert findings["models"].ok
    assert "1 trusted key" in findings["models"].message
    assert f"not used: {NEW}" in findings["models"].message
    said = findings[f"model {ALIAS}"]
    assert said.ok
    assert f"signed by The site ({site.key.id})" in said.message


def contents(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.parametrize("there", [True, False])
def test_check_makes_nothing_in_a_folder_that_holds_no_spool(tmp_path: Path, there: bool) -> None:
    """It may be where a volume is mounted that is away now."""
    folder = tmp_path / "spool"
    if there:
        folder.mkdir()
    tree = Settings(storage={"path": folder})
    said = {each.what: each for each in look(tree, destinations=False)}
    assert said["spool"].ok
    assert "holds no spool yet" in said["spool"].message
    assert "mount" in said["spool"].message
    assert "mount" in said["ledger"].message
    assert contents(folder) == []


def test_check_says_where_no_spool_can_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    tree = Settings(storage={"path": tmp_path / "file"})
    (spool,) = [each for each in look(tree, destinations=False) if each.what == "spool"]
    assert not spool.ok


def test_check_leaves_nothing_in_a_spool_that_is_full(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("dicom_node.spool.spool.fdatasync", full)
    (spool,) = [
        each for each in look(site.life.settings, destinations=False) if each.what == "spool"
    ]
    assert not spool.ok
    assert contents(site.life.settings.storage.path / "incoming") == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:  # noqa: PLW1510
        pytest.skip("a file system of its own needs the right to mount")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.parametrize("runs", [True, False], ids=["the node runs", "nothing runs"])
def test_a_full_disk_is_named_once_with_its_remedy_and_the_rest_say_it_is_the_same(
    small_disk: Path, runs: bool
) -> None:
    storage = {"path": small_disk / "spool", "minimum_free_megabytes": 0, "minimum_free_percent": 0}
    tree = Settings(storage=storage, node={"port": free_port()})
    ledger = Ledger(make_engine(fresh_url(small_disk / "spool")), SilentBell())
    open_spool(small_disk / "spool", ledger)
    assert all(each.ok for each in look(tree))
    if not runs:
        ledger.engine.dispose()
    with suppress(OSError), (small_disk / "rest").open("wb", 0) as rest:
        while True:
            rest.write(bytes(4096))
    said = {each.what: each.message for each in look(tree) if not each.ok}
    ledger.engine.dispose()
    assert list(said) == ["spool", "ledger", "broker", "processes"]
    assert said["spool"].startswith(f"{small_disk}/spool cannot be written: {full_disk.SAID}")
    same = "the disk is full, as said of the spool"
    assert [said[name].rpartition(": ")[2] for name in list(said)[1:]] == [same] * 3
    assert sum("free disk space" in each for each in said.values()) == 1


def test_a_ledger_that_does_not_answer_is_named_once_and_the_rest_is_looked_at(
    site: Site,
) -> None:
    away = f"postgresql+psycopg://nobody@127.0.0.1:{free_port()}/none"
    changes = {
        "database": DatabaseSettings(url=away),
        "storage": StorageSettings(path=site.life.spool.root),
    }
    tree = site.life.settings.model_copy(update=changes)
    said = {each.what: each for each in look(tree, destinations=False)}
    assert [name for name, each in said.items() if "[database] url" in each.message] == ["ledger"]
    assert said["broker"].ok
    assert said["spool"].ok


def finding(site: Site, what: str) -> Finding:
    return {each.what: each for each in look(site.life.settings, destinations=False)}[what]


def test_a_ledger_that_cannot_be_written_is_not_well(site: Site) -> None:
    """C-STORE is answered 0xA700 then."""
    path = Path(str(site.life.ledger.engine.url.database))
    with holding(path):
        said = finding(site, "ledger")
    assert not said.ok
    assert "locked" in said.message
    assert finding(site, "ledger").ok


def test_a_ledger_that_is_gone_from_a_spool_in_use_is_no_first_start(site: Site) -> None:
    """Somebody has deleted it, or its volume is away: a start would know none of the images."""
    path = Path(str(site.life.ledger.engine.url.database))
    assert finding(site, "spool").ok
    for each in path.parent.glob(f"{path.name}*"):
        each.unlink()
    found = finding(site, "ledger")
    assert not found.ok
    assert "the spool has been in use" in found.message
    assert "Mount its volume" in found.message
    assert not path.exists()


def test_a_node_that_does_not_run_is_not_well(site: Site) -> None:
    """Before the first start that is no fault, and no reason to say that all is well."""
    said = finding(site, "processes")
    assert (said.ok, said.warning) == (True, True)
    assert "dicom-node up" in said.message


def test_the_ledger_is_opened_once_and_closed_again(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Engine] = []

    def noted(url: str, bounds: Bounds) -> Engine:
        made.append(make_engine(url, bounds))
        return made[-1]

    for module in ("heartbeat", "models"):
        monkeypatch.setattr(f"dicom_node.{module}.make_engine", noted)
    assert all(each.ok for each in look(site.life.settings, destinations=False))
    (engine,) = made
    assert isinstance(engine.pool, QueuePool)
    assert engine.pool.checkedin() == 0

"""The file system of a spool that is unmounted and mounted again, under a real mount point."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.ledgers import fresh_url

NAMESPACE = ("unshare", "--mount", "--map-root-user")
SCRIPT = """
import subprocess, sys
from pathlib import Path
from sqlalchemy import select
from dicom_node.ledger.engine import make_engine
from dicom_node.ledger.tables import InstanceRow
from dicom_node.ledger.unit_of_work import Ledger
from dicom_node.errors import SpoolAway, StorageError
from dicom_node.intake.intake import LedgerIntake
from dicom_node.bell.outbox import SilentBell
from dicom_node.intake.marker import open_spool
from tests.support.factories.received import CALLER, received

root, disk, url = Path(sys.argv[1]), sys.argv[2], sys.argv[3]

def mount(): subprocess.run(["mount", "--bind", disk, str(root)], check=True)
def unmount(): subprocess.run(["umount", str(root)], check=True)
def fails(kind, what, *how):
    try: what(*how)
    except kind as error: return str(error)
    raise AssertionError("it did not fail")

subprocess.run(["mount", "-t", "tmpfs", "tmpfs", disk], check=True)
mount()
ledger = Ledger(make_engine(url), SilentBell())
spool = open_spool(root, ledger)
intake = LedgerIntake(ledger, spool, name="here:1", refuse_conflicts=False,
                      minimum_free_fraction=0.0, minimum_free_bytes=0)
intake.opened(CALLER)
assert intake.store(received(spool, "1.2.1", b"one")) == 0
with ledger.read() as session:
    name = session.execute(select(InstanceRow.path)).scalar_one()

unmount()
assert "is it mounted" in fails(SpoolAway, spool.open, name, "1.2.1")
assert not intake.has_space(0)
fails(StorageError, spool.incoming)
assert "is it mounted" in fails(SpoolAway, open_spool, root, ledger)
assert list(root.iterdir()) == []

mount()
intake._measured = None
assert intake.has_space(0)
assert spool.open(name, "1.2.1").read().endswith(b"one")
assert intake.store(received(spool, "1.2.2", b"two")) == 0
intake.stop()
print("well")
"""


def _may_mount() -> bool:
    """Whether this user may have a mount name space of its own."""
    if shutil.which(NAMESPACE[0]) is None:
        return False
    tried = subprocess.run([*NAMESPACE, "mount", "-t", "tmpfs", "tmpfs", "/mnt"],
                           capture_output=True, check=False)  # fmt: skip
    return tried.returncode == 0


@pytest.mark.skipif(not _may_mount(), reason="the kernel lets this user have no mounts of its own")
def test_a_file_system_that_is_unmounted_for_a_while(tmp_path: Path) -> None:
    root, disk = tmp_path / "spool", tmp_path / "disk"
    root.mkdir()
    disk.mkdir()
    url = fresh_url(tmp_path / "ledger")
    home = Path(__file__).parents[2]
    done = subprocess.run(
        [*NAMESPACE, sys.executable, "-c", SCRIPT, str(root), str(disk), url],
        capture_output=True, text=True, check=False, timeout=120, cwd=home,
        env=os.environ | {"PYTHONPATH": str(home)},
    )  # fmt: skip
    assert done.stdout.strip().endswith("well"), done.stderr
    assert list(root.iterdir()) == []

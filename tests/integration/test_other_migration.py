"""A ledger of another release: every process and command says so, and none goes on writing."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from dicom_node.ledger import revision
from dicom_node.ledger.engine import make_engine
from dicom_node.settings import load
from tests.support.factories import ct_slice
from tests.support.node import RunningNode
from tests.support.scanner import send

CELERY = ("-m", "celery", "-A", "workers.app", "--quiet", "worker", "--without-gossip",
          "--without-mingle", "-P", "solo", "-Q")  # fmt: skip
NODE = ("-m", "dicom_node")
ENTRIES = {
    "up": (*NODE, "up"),
    "intake": (*NODE, "intake"),
    "upkeep": (*NODE, "upkeep"),
    "infer": (*CELERY, "infer"),
    "deliver": (*CELERY, "deliver"),
    "db upgrade": (*NODE, "db", "upgrade"),
    "check": (*NODE, "check", "--local"),
    "study list": (*NODE, "study", "list"),
    "audit reconcile": (*NODE, "audit", "reconcile"),
    "model list": (*NODE, "model", "list"),
}

SUCCESS = 0x0000
OUT_OF_RESOURCES = 0xA700


def stamp(node: RunningNode, found: str) -> None:
    engine = make_engine(load(node.config).database_url)
    with engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE alembic_version SET version_num = '{found}'")
    engine.dispose()


@pytest.fixture
def newer(running_node: RunningNode) -> RunningNode:
    running_node.configure({}, routes=[])
    running_node.command("db", "upgrade")
    stamp(running_node, "9999")
    return running_node


@pytest.mark.parametrize("entry", ENTRIES)
def test_a_newer_ledger_is_refused_plainly(newer: RunningNode, entry: str) -> None:
    done = subprocess.run(
        [sys.executable, *ENTRIES[entry]], capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, "DICOM_NODE_CONFIG": str(newer.config), "COLUMNS": "400"},
    )  # fmt: skip
    said = done.stdout + done.stderr
    assert done.returncode != 0, said
    assert "9999, which this release (" in said
    assert "install that release, or restore the backup" in said
    assert "Traceback" not in said


def test_a_migration_under_a_running_node_ends_it(running_node: RunningNode) -> None:
    running_node.configure({}, routes=[])
    running_node.start()
    answers: list[int | None] = []

    def send_one() -> None:
        image = ct_slice(size=(4, 4), SOPInstanceUID=f"1.2.3.{len(answers) + 1}")
        answers.extend(send([image], running_node.port, running_node.folder / "image.dcm"))

    send_one()
    assert answers == [SUCCESS]
    stamp(running_node, "9999")
    while running_node.runs():
        send_one()
    assert running_node.stop() == 1
    assert set(answers) <= {SUCCESS, OUT_OF_RESOURCES, None}
    said = running_node.log.read_text(encoding="utf-8")
    assert '"ledger.other"' in said
    assert "9999, which this release" in said
    assert "Traceback" not in said
    stamp(running_node, revision.REVISION)
    assert sum(running_node.states().values()) == answers.count(SUCCESS)
    running_node.start()
    assert running_node.stop() == 0

"""One object harms only itself in a whole node: all others are delivered, and no process dies of it
but where the object ends it.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from sqlalchemy import select

from dicom_node.bell.outbox import SilentBell
from dicom_node.ledger.engine import make_engine
from dicom_node.ledger.tables import InstanceRow, WorkItemRow
from dicom_node.ledger.unit_of_work import Ledger
from dicom_node.settings import load
from tests.support.factories.dicom import ct_series
from tests.support.node import RunningNode
from tests.support.pacs import FakePacs
from tests.support.scanner import send

pytestmark = pytest.mark.holds(number=10)

COUNT = 8
HOOK = """
import sys
words = " ".join(sys.orig_argv)
if {process!r} in words:
    import {module} as module
    whole = module.{name}
    def poisoned(*args, **rest):
        found = whole(*args, **rest)
        if "{uid}" in str(found.get("SOPInstanceUID")):
            {does}
        return found
    module.{name} = poisoned
"""
"""Python runs it as ``sitecustomize`` when a process starts: the node knows nothing of it."""


def hook(node: RunningNode, process: str, module: str, uid: str, does: str) -> None:
    folder = node.folder / "hook"
    folder.mkdir()
    text = HOOK.format(process=process, module=module, name="read_object", uid=uid, does=does)
    (folder / "sitecustomize.py").write_text(text, encoding="utf-8")
    node.environment["PYTHONPATH"] = os.pathsep.join(
        [str(folder), os.environ.get("PYTHONPATH", "")]
    ).rstrip(os.pathsep)


def items(node: RunningNode) -> dict[str, tuple[str, str]]:
    engine = make_engine(load(node.config).database_url)
    with Ledger(engine, SilentBell()).read() as session:
        rows = session.execute(
            select(InstanceRow.sop_instance_uid, WorkItemRow.state, WorkItemRow.reason).join(
                WorkItemRow, WorkItemRow.instance_id == InstanceRow.id
            )
        ).all()
    engine.dispose()
    return {uid: (state, reason or "") for uid, state, reason in rows}


def deaths(node: RunningNode) -> list[str]:
    lines = node.log.read_text(encoding="utf-8").splitlines()
    died = [json.loads(line) for line in lines if '"process.died"' in line]
    return [each["role"] for each in died]


@pytest.mark.parametrize(
    "case",
    [
        ("dicom_node upkeep", "dicom_node.dicom.header",
         "raise ZeroDivisionError('PHI MARKER')", [],
         "given up after 3 tries: ZeroDivisionError at "),
        ("dicom_node upkeep", "dicom_node.dicom.header", "import os; os._exit(9)", ["upkeep"] * 3,
         "ended 3 times"),
        ("-Q infer", "workers.load", "raise MemoryError('PHI MARKER')", [],
         "given up after 3 tries: MemoryError at "),
    ],
)  # fmt: skip
def test_the_others_are_delivered_and_the_one_is_set_aside_with_its_reason(
    running_node: RunningNode, tmp_path: Path, case: tuple[str, str, str, list[str], str]
) -> None:
    process, module, does, died, reason = case
    series = ct_series(COUNT, size=(64, 64))
    poison = str(series[3].SOPInstanceUID)
    with FakePacs() as pacs:
        running_node.configure({"pacs": (pacs.aet, pacs.port)})
        hook(running_node, process, module, poison, does)
        running_node.start()
        assert set(send(series, running_node.port, tmp_path)) == {0}
        states = running_node.wait(
            lambda states: states["delivered"] + states["failed"] == COUNT, timeout=300
        )
        assert (states["delivered"], states["failed"]) == (COUNT - 1, 1)
        assert len(pacs.uids) == COUNT - 1
    found = items(running_node)
    state, why = found[poison]
    assert state == "failed"
    assert reason in why
    assert "study retry" in why
    assert deaths(running_node) == died
    log = running_node.log.read_text(encoding="utf-8")
    assert "MARKER" not in log + str(found)
    assert running_node.stop() == 0

"""A ledger in SQLite that somebody else holds: scanners are answered, the log says who it is."""

from __future__ import annotations

import time
from pathlib import Path

from tests.support.factories import ct_slice
from tests.support.node import RunningNode
from tests.support.scanner import send
from tests.support.writers import holding

SUCCESS = 0x0000
OUT_OF_RESOURCES = 0xA700


def until_said(node: RunningNode, words: str) -> None:
    """The answer may come before the line: whoever waits behind a group is answered first."""
    deadline = time.monotonic() + 60
    while words not in node.log.read_text(encoding="utf-8"):
        assert time.monotonic() < deadline, node.read_log()
        time.sleep(0.2)


def test_a_scanner_is_answered_while_the_ledger_is_locked(running_node: RunningNode) -> None:
    running_node.configure({}, routes=[])
    running_node.start()
    ledger = running_node.folder / "spool" / "ledger.sqlite"

    def send_one(number: int) -> int | None:
        image = ct_slice(size=(4, 4), SOPInstanceUID=f"1.2.3.{number}")
        return send([image], running_node.port, running_node.folder / "image.dcm")[0]

    assert send_one(1) == SUCCESS
    with holding(Path(ledger), stopped=True) as process:
        assert send_one(2) == OUT_OF_RESOURCES
        until_said(running_node, f"the ledger is locked: process {process.pid} (")
        until_said(running_node, f"let it go on with 'kill -CONT {process.pid}'")
        until_said(running_node, "ledger.held_up")  # which up finds by itself
        assert process.poll() is None  # no child of its own: left to a person
    assert send_one(2) == SUCCESS
    running_node.wait(lambda states: states["passed"] == 2)
    assert running_node.stop() == 0

"""With ``[log] format = "json"`` whatever a process says of itself is one object a line."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.node import RunningNode, part
from tests.support.waiting import eventually


@pytest.fixture
def node(tmp_path: Path) -> Iterator[RunningNode]:
    node = RunningNode(tmp_path / "node")
    node.configure({"pacs": ("PACS", 9)})
    yield node
    node.kill()


def lines(node: RunningNode) -> list[dict[str, Any]]:
    return [json.loads(line) for line in node.log.read_text(encoding="utf-8").splitlines()]


def said(node: RunningNode) -> set[str]:
    return {line["event"] for line in lines(node)}


def catches_sigterm(process: subprocess.Popen[bytes]) -> bool:
    status = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
    (caught,) = [line.split()[1] for line in status.splitlines() if line.startswith("SigCgt")]
    return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)


def ended(process: subprocess.Popen[bytes]) -> int:
    process.send_signal(signal.SIGTERM)
    return process.wait(60)


def test_a_worker_whose_ledger_is_away_says_so_without_a_trace_and_stops_in_order(
    node: RunningNode,
) -> None:
    node.command("db", "upgrade")
    ledger = node.folder / "spool" / "ledger.sqlite"
    aside = ledger.rename(ledger.with_suffix(".aside"))
    worker = node.run(*part("infer"))
    eventually(lambda: "engine.not_ready" in said(node))
    assert all("exception" not in line for line in lines(node))
    aside.rename(ledger)
    eventually(lambda: catches_sigterm(worker))
    assert ended(worker) == 0
    assert "worker.stopped" in said(node)


@pytest.mark.parametrize("role", ["intake", "upkeep", "infer"])
def test_a_process_that_refuses_to_start_says_why(node: RunningNode, role: str) -> None:
    node.command("db", "upgrade")
    environment = {"DICOM_NODE_BROKER__URL": "nothing://here"}
    process = node.run(*part(role), environment=environment)
    assert process.wait(60) != 0
    (line,) = [line for line in lines(node) if line["level"] == "critical"]
    assert "[broker] url" in line["error"]


def test_a_node_whose_port_is_taken_says_by_whom(node: RunningNode) -> None:
    with socket.create_server(("127.0.0.1", node.port)):
        process = node.run("-m", "dicom_node", "up")
        assert process.wait(60) == 1
    (line,) = [line for line in lines(node) if line["level"] == "critical"]
    assert "by process" in line["error"]

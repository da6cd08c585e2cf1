"""A running node says that it runs, role by role, and who of it does not."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.node import ROLES, RunningNode
from tests.support.waiting import eventually


@pytest.fixture
def node(tmp_path: Path) -> Iterator[RunningNode]:
    node = RunningNode(tmp_path / "node")
    node.configure({}, routes=[])
    yield node
    node.kill()


def checked(node: RunningNode) -> dict[str, Any]:
    text = node.command("check", "--local", "--json", check=False)
    return {each["what"]: each for each in json.loads(text)}


def test_check_tells_a_node_that_runs_from_one_that_is_stopped_or_not_there(
    node: RunningNode,
) -> None:
    assert checked(node)["processes"]["warning"]
    node.start()
    eventually(lambda: all(checked(node).get(role, {"ok": False})["ok"] for role in ROLES))
    assert checked(node)["up"]["ok"]
    for role in ("upkeep", "deliver"):
        os.kill(node.children()[role], signal.SIGSTOP)
    found = checked(node)
    assert [role for role in ROLES if not found[role]["ok"]] == ["upkeep", "deliver"]
    for role in ("upkeep", "deliver"):
        assert "is stopped" in node.command("check", "--role", role, check=False)
        os.kill(node.children()[role], signal.SIGCONT)
    assert node.stop() == 0
    found = checked(node)
    assert found["processes"]["warning"], "all ended in order"
    assert found["ledger"]["ok"]

"""From a zip file to an alias in one command, one gate after another."""

from __future__ import annotations

from typing import Any

from model_store.archive import pack
from tests.unit.dicom_node.cli.model.shell import Shell

WHY = ("--why", "tested", "--by", "me@here")
GATES = ("signature", "state", "graph", "behaviour", "equivalence", "metrics", "purpose")


def _zip(shell: Shell, version: str = "1.0.0", **how: Any) -> str:
    return str(pack(shell.vendor(version, **how), shell.folder / f"{version}.zip"))


def test_a_version_that_every_gate_lets_pass_is_promoted_on_a_yes(shell: Shell) -> None:
    said = shell.ok("introduce", _zip(shell), "--yes", *WHY)
    for gate in GATES:
        assert said.count(f"passed {gate}:") == 1
    assert "toy-ct@production stands for toy-ct@1.0.0" in said
    assert shell.standing() == "toy-ct@1.0.0"
    (move,) = shell.json("history")
    assert (move["action"], move["who"], len(move["gates"])) == ("promote", "me@here", 7)
    assert "nothing to do" in shell.ok("introduce", str(shell.folder / "1.0.0.zip"), *WHY)


def test_without_a_yes_it_is_imported_and_nothing_is_moved(shell: Shell) -> None:
    said = shell.refused("introduce", _zip(shell), *WHY, code=2)
    assert "was not moved; --yes moves it" in said
    assert shell.standing() is None
    assert "toy-ct@1.0.0" in shell.ok("list")


def test_a_gate_that_says_no_is_named_and_nothing_is_moved(shell: Shell) -> None:
    shell.ok("introduce", _zip(shell), "--yes", *WHY)
    worse = _zip(shell, "2.0.0", beside=2.3, metrics={})
    said = shell.refused("introduce", worse, "--yes", *WHY)
    assert said.count("refused equivalence:") == 1
    assert "it stands for toy-ct@1.0.0" in said
    assert shell.standing() == "toy-ct@1.0.0"
    (event,) = shell.events("alias:gate:refused")
    assert event["target"] == "toy-ct@2.0.0"


def test_another_alias_asks_every_gate_too(shell: Shell) -> None:
    said = shell.ok("introduce", _zip(shell), "--to", "ct-default@candidate", "--yes", *WHY)
    assert "passed equivalence:" in said
    assert shell.standing("ct-default@candidate") == "toy-ct@1.0.0"
    shell.refused("introduce", _zip(shell, "1.1.0"), "--to", "ct-default@shadow", *WHY, code=2)


def test_what_nobody_trusts_is_not_even_imported(shell: Shell) -> None:
    shell.refused("introduce", _zip(shell, signed=False), "--yes", *WHY)
    assert "toy-ct@1.0.0" not in shell.ok("list")

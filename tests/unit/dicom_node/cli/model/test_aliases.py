"""Promoting, rolling back, and what the history says of it."""

from __future__ import annotations

import pytest

from dicom_node.ledger import alias_moves
from model_store.ref import ModelName
from model_store.registry import promotion
from tests.support.factories.models import STORED
from tests.unit.dicom_node.cli.model.shell import Shell

WHY = ("--why", "tested", "--by", "me@here")


def promote(shell: Shell, version: str, *more: str) -> str:
    return shell.ok("promote", f"toy-ct@{version}", *WHY, *more)


def test_a_version_is_promoted_and_every_gate_is_kept(shell: Shell) -> None:
    shell.added()
    said = promote(shell, "1.0.0")
    assert "passed equivalence: largest difference" in said
    assert "at strength 1, which toy-ct@1.0.0 recommends: ct" in said
    assert "toy-ct@production stands for toy-ct@1.0.0" in said
    assert "routes that follow from the next batch on: ct" in said
    (move,) = shell.json("history")
    assert (move["who"], move["why"], move["forced"]) == ("me@here", "tested", False)
    assert [gate["gate"] for gate in move["gates"]] == [
        "signature", "state", "graph", "behaviour", "equivalence", "metrics", "purpose"
    ]  # fmt: skip
    assert shell.standing() == "toy-ct@1.0.0"


def test_a_refusal_names_every_gate_and_by_how_much_and_changes_nothing(shell: Shell) -> None:
    shell.added("1.0.0")
    promote(shell, "1.0.0")
    shell.added("2.0.0", beside=2.3, metrics={})
    said = shell.refused("promote", "toy-ct@2.0.0", *WHY)
    assert "equivalence: largest difference 2.3 HU, limit 1 HU" in said
    assert "metrics: the manifest has no headline.*.model" in said
    assert "was not moved to toy-ct@2.0.0; it stands for toy-ct@1.0.0;" in said
    assert "--force" in said
    assert shell.standing() == "toy-ct@1.0.0"
    (event,) = shell.events("alias:gate:refused")
    assert event["target"] == "toy-ct@2.0.0"


def test_force_wants_a_reason_and_is_audited(shell: Shell) -> None:
    shell.added(beside=2.3)
    assert shell.run("promote", "toy-ct@1.0.0", "--force").exit_code == 2
    assert shell.run("promote", "toy-ct@1.0.0", "--force", "--why", " ").exit_code == 2
    said = promote(shell, "1.0.0", "--force")
    assert "forced equivalence: largest difference 2.3 HU" in said
    (event,) = shell.events("alias:person:forced")
    assert event["why"] == "tested"
    assert "tested (forced: equivalence)" in shell.ok("history")


@pytest.mark.parametrize("what", ["unsigned", "changed", "quarantined", "retired"])
def test_force_does_not_get_past_trust(shell: Shell, what: str) -> None:
    name = shell.added()
    folder = shell.store / "toy-ct" / "1.0.0"
    onnx = (folder / "model.onnx").read_bytes()
    if what == "unsigned":
        (folder / "manifest.sig").unlink()
    elif what == "changed":
        (folder / "model.onnx").write_bytes(b"\0")
    elif what == "quarantined":
        (folder / "model.onnx").write_bytes(b"\0")
        shell.refused("verify", str(name), "--quick")
        (folder / "model.onnx").write_bytes(onnx)
    else:
        shell.ok("retire", str(name), *WHY)
    said = shell.refused("promote", str(name), *WHY, "--force")
    assert "cannot be forced" in said
    assert shell.json("history") == []


def test_another_alias_asks_only_whether_the_version_is_whole(shell: Shell) -> None:
    shell.added(beside=2.3, metrics={})
    said = promote(shell, "1.0.0", "--to", "toy-ct@candidate")
    assert "equivalence" not in said
    assert "no route names it" in said
    (move,) = shell.json("history", "toy-ct@candidate")
    assert move["action"] == "set"


def test_what_it_stands_for_already_is_left_alone(shell: Shell) -> None:
    shell.added()
    promote(shell, "1.0.0")
    assert "already" in promote(shell, "1.0.0")
    assert shell.json("promote", "toy-ct@1.0.0", *WHY)["moved"] is False
    assert len(shell.json("history")) == 1


def test_two_at_once_one_is_told(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    shell.added("1.0.0")
    shell.added("2.0.0")
    promote(shell, "1.0.0")
    judge = promotion.judge

    def meanwhile(*arguments: object) -> object:
        with shell.ledger.write() as unit:
            alias_moves.move(
                unit, ModelName("toy-ct", "production"), None,
                expected=ModelName("toy-ct", "1.0.0"), action="remove", who="she@there", why="fog",
            )  # fmt: skip
        return judge(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(promotion, "judge", meanwhile)
    said = shell.refused("promote", "toy-ct@2.0.0", *WHY, code=4)
    assert "moved by she@there" in said
    assert shell.standing() is None


def test_a_rollback_goes_back_and_the_next_one_further(shell: Shell) -> None:
    for version in ("1.0.0", "2.0.0", "3.0.0"):
        shell.added(version)
        promote(shell, version)
    said = shell.ok("rollback", "toy-ct@production", *WHY)
    assert "stands for toy-ct@2.0.0, before toy-ct@3.0.0" in said
    assert "equivalence" not in said
    shell.ok("rollback", "toy-ct@production", *WHY)
    assert shell.standing() == "toy-ct@1.0.0"
    said = shell.refused("rollback", "toy-ct@production", *WHY)
    assert "stood for nothing before that" in said


def test_a_rollback_passes_over_what_was_retired(shell: Shell) -> None:
    for version in ("1.0.0", "2.0.0", "3.0.0"):
        shell.added(version)
        promote(shell, version)
    said = shell.ok("retire", "toy-ct@2.0.0", *WHY)
    assert "no rollback goes to it any more: it was what toy-ct@production had before" in said
    found = shell.json("rollback", "toy-ct@production", *WHY)
    assert found["target"] == "toy-ct@1.0.0"
    assert found["passed_over"] == ["toy-ct@2.0.0"]


def test_a_rollback_to_a_changed_version_is_refused(shell: Shell) -> None:
    for version in ("1.0.0", "2.0.0"):
        shell.added(version)
        promote(shell, version)
    (shell.store / "toy-ct" / "1.0.0" / "model.onnx").write_bytes(b"\0")
    assert "may not be used" in shell.refused("rollback", "toy-ct@production", *WHY)
    assert shell.standing() == "toy-ct@2.0.0"


def test_a_rollback_of_what_never_moved(shell: Shell) -> None:
    assert "never moved here" in shell.refused("rollback", "ct-default@production", *WHY)


def test_an_alias_of_the_package_is_moved_and_back(shell: Shell) -> None:
    before = shell.standing("drunet-ct@production")
    shell.added(tiling=None)
    promote(shell, "1.0.0", "--to", "drunet-ct@production")
    assert shell.standing("drunet-ct@production") == "toy-ct@1.0.0"
    shell.ok("rollback", "drunet-ct@production", *WHY)
    assert before is not None
    assert shell.standing("drunet-ct@production") == before


def test_images_of_another_kind_are_refused(shell: Shell) -> None:
    shell.added(input_spec=STORED)
    said = shell.refused("promote", "toy-ct@1.0.0", "--to", "ct-default@production", *WHY)
    standing = shell.standing("ct-default@production")
    assert f"purpose: ct-default@production stands for {standing}, which is for CT" in said


def test_an_alias_is_taken_away_unless_a_route_names_it(shell: Shell) -> None:
    shell.added()
    promote(shell, "1.0.0", "--to", "toy-ct@candidate")
    promote(shell, "1.0.0")
    shell.ok("unalias", "toy-ct@candidate", *WHY)
    assert shell.standing("toy-ct@candidate") is None
    assert "these routes name: ct" in shell.refused("unalias", "toy-ct@production", *WHY)
    assert "stands for nothing" in shell.refused("unalias", "toy-ct@candidate", *WHY)


def test_the_history_of_a_version_has_what_came_and_went(shell: Shell) -> None:
    for version in ("1.0.0", "2.0.0"):
        shell.added(version)
        promote(shell, version)
    assert [move["target"] for move in shell.json("history", "toy-ct@1.0.0")] == [
        "toy-ct@1.0.0", "toy-ct@2.0.0"
    ]  # fmt: skip
    assert len(shell.json("history", "toy-ct@2.0.0")) == 1


@pytest.mark.parametrize(
    "words",
    [
        ("promote", "toy-ct@production", *WHY),
        ("promote", "toy-ct", *WHY),
        ("promote", "toy-ct@1.0.0", "--to", "toy-ct@1.0.0", *WHY),
        ("promote", "toy-ct@1.0.0", "--to", "toy-ct@shadow", *WHY),
        ("promote", "toy-ct@1.0.0", "--why", "x", "--by", "y" * 200),
        ("rollback", "toy-ct@1.0.0", *WHY),
        ("rollback", "toy-ct@shadow", *WHY),
        ("history", "toy ct"),
    ],
)
def test_wrong_use(shell: Shell, words: tuple[str, ...]) -> None:
    shell.refused(*words, code=2)


@pytest.mark.parametrize("tag", ["1.0", "2", "1.0.0.0", "1.0.x"])
def test_a_mistyped_version_makes_no_alias(shell: Shell, tag: str) -> None:
    shell.added()
    said = shell.refused("promote", "toy-ct@1.0.0", "--to", f"toy-ct@{tag}", *WHY, code=2)
    assert "NAME@MAJOR.MINOR.PATCH" in said
    assert shell.json("history") == []


def test_what_is_not_there(shell: Shell) -> None:
    assert "no model toy-ct@9.0.0" in shell.refused("promote", "toy-ct@9.0.0", *WHY, code=1)


def test_a_refused_promotion_for_machines(shell: Shell) -> None:
    shell.added(metrics={})
    found = shell.json("promote", "toy-ct@1.0.0", *WHY, code=3)
    assert found["moved"] is False
    assert [gate["gate"] for gate in found["gates"] if not gate["passed"]] == ["metrics"]

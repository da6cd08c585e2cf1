"""What a person asks of studies, and does about what failed."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import text

from tests.support.ledgers import Life
from tests.unit.dicom_node.cli.shell import Shell, receive


def test_the_list_counts_work_items_by_state(shell: Shell, busy: Life) -> None:
    rows = {row["study_uid"]: row for row in shell.json("study", "list")}
    assert rows["1.2.3"]["delivered"] == 3
    assert rows["1.2.3"]["failed"] == 3
    assert rows["1.2.3"]["passed"] == 1
    assert rows["(unreadable)"]["failed"] == 2


def test_a_study_is_shown_with_reasons(shell: Shell, busy: Life) -> None:
    text = shell.run("study", "show", "1.2.3").stdout
    assert "archive: said" in text
    assert "no route matches" in text


def test_a_study_that_nothing_was_planned_of_yet_is_found(shell: Shell, life: Life) -> None:
    """It was answered with success: with upkeep down it was said not to be there."""
    life.receive_series(2)
    shown = shell.run("study", "show", "1.2.3")
    assert shown.exit_code == 0
    assert "2 instances of it were received and are not planned yet" in shown.stdout
    assert "'dicom-node check'" in shown.stdout


def test_an_unknown_study_is_an_error_in_words(shell: Shell, busy: Life) -> None:
    result = shell.run("study", "show", "9.9")
    assert result.exit_code == 1
    assert "no study 9.9" in result.stderr
    assert result.stdout == ""


def test_dead_letters_are_listed_and_sent_again(shell: Shell, busy: Life) -> None:
    assert len(shell.json("destination", "failed")) == 3
    result = shell.run("study", "retry", "1.2.3")
    assert "3 to deliver again" in result.stdout
    busy.deliver_all()
    assert shell.json("destination", "failed") == []
    assert shell.json("study", "list")[0]["failed"] in (0, 2)


def test_retrying_all_leaves_conflicts_alone(shell: Shell, busy: Life) -> None:
    result = shell.run("study", "retry", "--all-failed")
    assert "1 to denoise again, 3 to deliver again, 1 left" in result.stdout


def test_a_conflict_is_listed_and_discarded(shell: Shell, busy: Life) -> None:
    (conflict,) = shell.json("study", "conflicts")
    assert conflict["sop_instance_uid"] == "1.2.4.1"
    assert conflict["bytes_kept"] is True
    assert conflict["calling_ae_title"] == "CT1"
    assert conflict["sha256"] != conflict["first_sha256"]
    (kept,) = busy.rows(
        text("SELECT path FROM instance WHERE state != 'conflict' AND sop_instance_uid = '1.2.4.1'")
    )
    (aside,) = busy.rows(text("SELECT path FROM instance WHERE state = 'conflict'"))
    result = shell.run("study", "conflicts", "--discard", str(conflict["conflict"]))
    assert result.exit_code == 0
    assert "1 discarded" in result.stdout
    assert not (busy.folder / aside.path).exists()
    assert (busy.folder / kept.path).exists()
    assert shell.json("study", "conflicts") == []
    rows = {row["study_uid"]: row for row in shell.json("study", "list")}
    assert rows["(unreadable)"]["failed"] == 1
    events = [json.loads(line) for line in shell.run("audit", "export").stdout.splitlines()]
    discarded = [each for each in events if each["event"] == "instance:person:discarded"]
    assert [each["sop_instance_uid"] for each in discarded] == ["1.2.4.1"]
    assert discarded[0]["detail"]["sha256"] == conflict["sha256"]


@pytest.mark.parametrize("which", ["1", "4711"])
def test_only_a_conflict_can_be_discarded(shell: Shell, busy: Life, which: str) -> None:
    (first,) = busy.rows(text("SELECT path FROM instance WHERE id = 1"))
    result = shell.run("study", "conflicts", "--discard", which)
    assert result.exit_code == 1
    assert f"no conflict {which}" in result.stderr
    assert (busy.folder / first.path).exists()
    assert len(shell.json("study", "conflicts")) == 1


def test_a_discarded_conflict_that_comes_again_is_listed_again(shell: Shell, busy: Life) -> None:
    (conflict,) = shell.json("study", "conflicts")
    shell.run("study", "conflicts", "--discard", str(conflict["conflict"]))
    busy.receive("1.2.4.1", version=1, data=b"PHI^MARKER")
    assert [each["bytes_kept"] for each in shell.json("study", "conflicts")] == [True]
    assert shell.run("study", "conflicts", "--discard", str(conflict["conflict"])).exit_code == 0
    assert shell.json("study", "conflicts") == []


def test_what_has_nothing_failed_says_how_to_send_it_again(shell: Shell, life: Life) -> None:
    receive(life, range(1, 4))
    life.denoise_all()
    life.deliver_all()
    result = shell.run("study", "retry", "1.2.3")
    assert result.exit_code == 0
    assert "nothing to retry" in result.stdout
    assert "3 delivered: --delivered sends them again" in result.stdout
    assert "3 to deliver again" in shell.run("study", "retry", "1.2.3", "--delivered").stdout


def test_retry_of_an_unknown_study_is_an_error_in_words(shell: Shell, busy: Life) -> None:
    result = shell.run("study", "retry", "9.9")
    assert result.exit_code == 1
    assert "no study 9.9" in result.stderr


@pytest.mark.parametrize("arguments", [(), ("1.2.3", "--all-failed")])
def test_retry_wants_one_study_or_all(shell: Shell, life: Life, arguments: tuple[str, ...]) -> None:
    result = shell.run("study", "retry", *arguments)
    assert result.exit_code == 1
    assert "either" in result.stderr


def test_what_is_yet_to_be_planned_is_not_unreadable(shell: Shell, busy: Life) -> None:
    receive(busy, range(20, 23))
    rows = {row["study_uid"]: row for row in shell.json("study", "list")}
    assert rows["(not yet planned)"]["instances"] == 3
    assert rows["(unreadable)"]["instances"] == 2
    busy.planner.plan()
    assert "(not yet planned)" not in {row["study_uid"] for row in shell.json("study", "list")}


def test_what_is_unreadable_is_listed_by_its_state_too(shell: Shell, busy: Life) -> None:
    rows = shell.json("study", "list", "--state", "failed")
    assert {row["study_uid"] for row in rows} == {"1.2.3", "(unreadable)"}

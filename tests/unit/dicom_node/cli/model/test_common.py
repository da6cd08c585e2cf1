from __future__ import annotations

import pytest
import typer
from rich.console import Console
from rich.progress import Progress

from dicom_node.cli.model.common import Bar, printable, reason, who


@pytest.mark.parametrize("why", ["", "  ", "\x1b[2Jgone", "a\x00b", "\u202etxt.", "x" * 1001])
def test_a_reason_that_says_nothing_or_cannot_be_printed_is_refused(why: str) -> None:
    with pytest.raises(typer.BadParameter):
        reason(why)


def test_a_reason_of_several_lines_is_kept_as_one() -> None:
    assert reason(" acceptance test\r\n of 12\u00a0May, 30 % (Müller)\n") == (
        "acceptance test of 12 May, 30 % (Müller)"
    )


@pytest.mark.parametrize("by", [" ", "root\nadmin", "\x1b[31mroot"])
def test_who_acts_can_be_printed(by: str) -> None:
    with pytest.raises(typer.BadParameter):
        who(by)


def test_what_a_manifest_says_does_not_command_the_terminal() -> None:
    assert printable("MIT\x1b[2J\x07 2 µm\nand more") == "MIT?[2J? 2 µm\nand more"


def test_a_bar_goes_on_within_a_thing_that_takes_long() -> None:
    with Progress(console=Console(quiet=True)) as shown:
        bar = Bar(shown, 2)
        bar("a.jpg")
        bar.part(3, 12)
        (task,) = shown.tasks
        assert (task.completed, task.description) == (0.25, "a.jpg, tile 3 of 12")
        bar("b.jpg")
        assert (task.completed, task.description) == (1, "b.jpg")
        bar.part(1, 1)
        assert task.description == "b.jpg", "a small image has no tiles to count"

from __future__ import annotations

import pytest
import typer

from dicom_node.cli.model.common import printable, reason, who


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

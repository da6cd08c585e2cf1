"""The report says what did not hold, and the command ends with it."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from tests.chaos import __main__ as command
from tests.chaos import report
from tests.chaos.archive import ANSWER_LOST, Again
from tests.chaos.faults import every_fault
from tests.chaos.forms import FormName
from tests.chaos.judge import Finding, Judgement
from tests.chaos.trial import Line

GOOD = Judgement((), (), (Again("1.2.3", 1.0, same_bytes=True, reason=ANSWER_LOST),), {})
LINE = Line(
    "kill infer", FormName.CLUSTER, "kill -9", images=400, in_flight=37, judgement=GOOD,
    next_seconds=1.26, done_seconds=7.0,
)  # fmt: skip


def found(*lines: Line) -> dict[str, object]:
    return report.document(lines, {"command": "python -m tests.chaos"})


def test_a_line_that_holds() -> None:
    said = found(LINE)
    assert said["holds"]
    assert report.cells(said["lines"][0]) == [  # type: ignore[index]
        "kill infer", "cluster", "400", "37", "0", "0", "1", "0", "1.3", "7.0", "",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "line",
    [
        replace(LINE, judgement=replace(GOOD, lost=(Finding("1.2.4", "gone"),))),
        replace(LINE, judgement=replace(GOOD, wrong=(Finding("1.2.4", "another's"),))),
        replace(LINE, judgement=replace(GOOD, sent_again=(Again("1.2.4", 1.0, True, ""),))),
        replace(
            LINE, judgement=replace(GOOD, sent_again=(Again("1.2.4", 1.0, False, ANSWER_LOST),))
        ),
        replace(LINE, broken=("not done after a restart, either",)),
        replace(LINE, judgement=None),
    ],
    ids=["lost", "wrong", "sent again", "other bytes", "broken", "no judgement"],
)
def test_one_line_that_does_not_hold_fails_all(line: Line) -> None:
    said = found(LINE, line)
    assert not said["holds"]
    out = StringIO()
    report.show(said, Console(file=out, width=200))
    if line.judgement is not None and not line.broken:
        assert "1.2.4" in out.getvalue(), "each object is named"


def test_every_object_that_was_sent_again_is_listed_with_its_reason() -> None:
    out = StringIO()
    report.show(found(LINE), Console(file=out, width=200))
    assert f"sent again 1.2.3 (cluster, kill infer): {ANSWER_LOST}, same bytes" in out.getvalue()


def test_what_was_not_done_is_said_and_holds() -> None:
    line = Line("full disk", FormName.CLUSTER, "full", skipped="the spool has no file system")
    assert report.cells(found(line)["lines"][0])[-1] == "not done: the spool has no file system"  # type: ignore[index]


def test_faults_have_names_of_their_own_in_each_form() -> None:
    for form in FormName:
        names = [fault.name for fault in every_fault() if form in fault.forms]
        assert len(names) == len(set(names))
        assert not any("," in name for name in names), "--faults separates them by commas"
        assert any(fault.quick for fault in every_fault() if form in fault.forms)


def test_a_fault_that_nobody_knows_is_refused() -> None:
    with pytest.raises(SystemExit, match="no fault is called earthquake"):
        command.main(["--faults", "kill infer,earthquake"])

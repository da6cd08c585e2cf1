"""The ledger is removed, or another put in its place, under a running node."""

from __future__ import annotations

from dicom_node.ledger import migrate
from dicom_node.ledger.engine import make_engine
from tests.support.factories import ct_slice
from tests.support.node import RunningNode
from tests.support.scanner import send

SUCCESS = 0x0000
OUT_OF_RESOURCES = 0xA700


def answer(node: RunningNode, number: int) -> int | None:
    image = ct_slice(size=(4, 4), SOPInstanceUID=f"1.2.3.{number}")
    (found,) = send([image], node.port, node.folder / "image.dcm")
    return found


def test_nothing_is_accepted_without_the_ledger_and_all_goes_on_with_it(
    running_node: RunningNode,
) -> None:
    running_node.configure({}, routes=[])
    running_node.start()
    assert answer(running_node, 1) == SUCCESS
    ledger = running_node.folder / "spool" / "ledger.sqlite"
    away = running_node.folder / "away.sqlite"
    ledger.rename(away)
    assert answer(running_node, 2) == OUT_OF_RESOURCES
    away.rename(ledger)
    assert answer(running_node, 3) == SUCCESS
    assert running_node.stop() == 0
    assert sum(running_node.states().values()) == 2
    said = running_node.log.read_text(encoding="utf-8")
    assert "is gone" in said
    assert "Traceback" not in said


def test_a_node_ends_that_is_given_another_ledger_and_starts_on_none(
    running_node: RunningNode,
) -> None:
    running_node.configure({}, routes=[])
    running_node.start()
    assert answer(running_node, 1) == SUCCESS
    ledger = running_node.folder / "spool" / "ledger.sqlite"
    for file in ledger.parent.glob("ledger.sqlite*"):
        file.unlink()
    other = make_engine(f"sqlite:///{ledger}")
    migrate.upgrade(other)
    other.dispose()
    answers = []
    while running_node.runs():
        answers.append(answer(running_node, 2))
    assert set(answers) <= {OUT_OF_RESOURCES, None}
    assert running_node.stop() == 1
    said = running_node.log.read_text(encoding="utf-8")
    assert '"ledger.other"' in said
    assert "is another file" in said
    for file in (running_node.folder / "spool").glob("ledger.sqlite*"):
        file.unlink()
    assert "are in no ledger" in running_node.command("up", check=False)
    assert not ledger.exists()

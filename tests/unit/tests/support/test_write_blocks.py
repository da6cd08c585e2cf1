"""The guard of write transactions can fail."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dicom_node.ledger import unplanned
from dicom_node.startup import require_port
from tests.support.ledgers import Life
from tests.support.write_blocks import OutsideItsStatements, strict


@pytest.mark.parametrize(
    "step",
    [
        lambda life: life.spool.write_atomic(life.spool.root / "file", b""),
        lambda life: life.spool.files(0),
        lambda life: life.spool.incoming(),
        lambda life: require_port(life.settings),
    ],
)
def test_a_write_transaction_does_nothing_else(
    tmp_path: Path, step: Callable[[Life], object]
) -> None:
    life = Life(tmp_path / "node")

    def both() -> None:
        with life.ledger.write():
            step(life)

    with strict(), pytest.raises(OutsideItsStatements):
        both()
    with life.ledger.read():
        step(life)
    step(life)
    life.close()


def test_the_node_s_own_transactions_are_watched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    life = Life(tmp_path / "node")
    life.associate()
    life.receive("1.2.4.1")
    take = unplanned.take

    def take_and_look(*args: Any) -> Any:
        life.spool.files(0)
        return take(*args)

    monkeypatch.setattr(unplanned, "take", take_and_look)
    with pytest.raises(OutsideItsStatements):
        life.planner.plan()
    life.close()


def test_a_test_may_prepare_what_it_likes(tmp_path: Path) -> None:
    life = Life(tmp_path / "node")
    with life.ledger.write():
        life.spool.files(0)
    life.close()

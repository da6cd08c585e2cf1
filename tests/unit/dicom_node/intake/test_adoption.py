"""A ledger that knows less than the spool: what it does not know is found, and taken in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from dicom_node.intake.adoption import adopt, unknown_files
from dicom_node.ledger.states import InstanceState
from dicom_node.ledger.tables import AssociationRow, InstanceRow
from tests.support.ledgers import Life


@pytest.fixture
def life(tmp_path: Path) -> Iterator[Life]:
    made = Life(tmp_path / "node")
    made.associate()
    yield made
    made.close()


def forget(life: Life, *uids: str) -> None:
    """As a ledger does that was restored from an older backup."""
    with life.ledger.write() as unit:
        for row in unit.session.execute(select(InstanceRow)).scalars():
            if row.sop_instance_uid in uids:
                unit.session.delete(row)


def states(life: Life) -> dict[str, str]:
    with life.ledger.read() as session:
        rows = session.execute(select(InstanceRow)).scalars()
        return {row.sop_instance_uid: row.state for row in rows}


def test_what_the_ledger_forgot_is_taken_in_as_it_was_received(life: Life) -> None:
    for number in range(3):
        life.receive(f"1.2.3.{number}")
    with life.ledger.read() as session:
        before = {
            row.sop_instance_uid: (row.path, row.sha256, row.size, row.transfer_syntax_uid)
            for row in session.execute(select(InstanceRow)).scalars()
        }
    forget(life, "1.2.3.0", "1.2.3.2")
    found = list(unknown_files(life.ledger, life.spool, youngest=0))
    assert {file.instance.sop_instance_uid for file in found if file.instance} == {
        "1.2.3.0", "1.2.3.2",
    }  # fmt: skip
    done = adopt(life.ledger, life.spool, "DENOISE")
    assert (done.taken, done.kept_aside, done.unreadable) == (2, 0, [])
    with life.ledger.read() as session:
        after = {
            row.sop_instance_uid: (row.path, row.sha256, row.size, row.transfer_syntax_uid)
            for row in session.execute(select(InstanceRow)).scalars()
        }
        adopted = session.execute(
            select(AssociationRow).where(AssociationRow.outcome == "adopted")
        ).scalars()
        assert [row.address for row in adopted] == ["(adopted)"]
    assert after == before
    assert set(states(life).values()) == {InstanceState.RECEIVED.value}
    assert adopt(life.ledger, life.spool, "DENOISE").taken == 0


def test_what_was_just_written_is_nobodys_yet_and_left_alone(life: Life) -> None:
    life.receive("1.2.3.0")
    forget(life, "1.2.3.0")
    assert list(unknown_files(life.ledger, life.spool)) == []


def test_another_copy_of_what_the_ledger_has_is_not_unknown(life: Life) -> None:
    life.receive("1.2.3.0")
    with life.ledger.read() as session:
        row = session.execute(select(InstanceRow)).scalar_one()
    assert row.path is not None
    path = life.spool.path(row.path)
    path.with_name("1.2.3.0-copy.dcm").write_bytes(path.read_bytes())
    assert list(unknown_files(life.ledger, life.spool, youngest=0)) == []


def test_other_bytes_under_a_known_uid_are_kept_aside(life: Life) -> None:
    life.receive("1.2.3.0")
    forget(life, "1.2.3.0")
    life.receive("1.2.3.0", version=1)
    done = adopt(life.ledger, life.spool, "DENOISE")
    assert (done.taken, done.kept_aside) == (0, 1)


def test_a_file_that_cannot_be_read_is_said_and_stays(life: Life) -> None:
    life.receive("1.2.3.0")
    with life.ledger.read() as session:
        row = session.execute(select(InstanceRow)).scalar_one()
    assert row.path is not None
    rubbish = life.spool.path(row.path).with_name("1.2.3.9-x.dcm")
    rubbish.write_bytes(b"no DICOM")
    done = adopt(life.ledger, life.spool, "DENOISE")
    assert [file.fault for file in done.unreadable] == ["the file is not a DICOM file"]
    assert rubbish.exists()

"""Which files rows name: asked by what is indexed, and of a file that is gone for a reason."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import event, select, update

from dicom_node.ledger import proof
from dicom_node.ledger.proof import Scope
from dicom_node.ledger.tables import InstanceRow, ResultRow
from dicom_node.spool.stored import ObjectKind, StoredObject
from tests.support.ledgers import Life, reversed_where_unordered


def test_files_that_rows_name_are_found_by_their_uid_and_no_table_is_read(life: Life) -> None:
    """However large the ledger has grown: retention asks so once a round."""
    life.associate()
    life.receive_series(20)
    names = {row.path for row in life.rows(select(InstanceRow.path))}
    asked: list[str] = []

    @event.listens_for(life.ledger.engine, "before_cursor_execute")
    def _seen(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        asked.append(" ".join(statement.split()))

    with life.ledger.read() as session:
        assert proof.unnamed(session, names) == set()
        assert not any("path IN" in statement for statement in asked)
        assert all("uid IN" in statement for statement in asked if "FROM" in statement)
        other = {"instances/00/1.2.4.1-other.dcm", "results/00/1.2.9.dcm"}
        assert proof.unnamed(session, names | other) == other
    assert all(" IN (" in statement for statement in asked if "FROM" in statement)


def test_a_file_of_another_name_is_not_the_rows(life: Life) -> None:
    life.associate()
    life.receive("1.2.4.1")
    with life.ledger.write() as unit:
        (row,) = unit.session.execute(select(InstanceRow)).scalars()
        row_id, stored = row.id, StoredObject.of(ObjectKind.INSTANCE, row)
    with life.ledger.read() as session:
        assert proof.still_names(session, row_id, stored)
        assert not proof.still_names(session, row_id + 1, stored)
    with life.ledger.write() as unit:
        unit.session.execute(update(InstanceRow).values(path=None))
    with life.ledger.read() as session:
        assert not proof.still_names(session, row_id, stored)


Files = dict[int, tuple[str, str | None]]


def files(life: Life, after: int = 0) -> tuple[Files, Files]:
    """Instances and results whose files are proven: their UIDs and names by id."""
    with life.ledger.read() as session:
        found = (
            proof.instance_files(session, Scope(), after),
            proof.result_files(session, Scope(), after),
        )
    instances, results = ({at: (one.sop_instance_uid, one.path) for at, one in each}
                          for each in found)  # fmt: skip
    return instances, results


@pytest.fixture
def proven(life: Life) -> Life:
    life.associate()
    life.receive_series(3)
    life.denoise_all()
    life.write_results()
    return life


def test_files_are_proven_of_what_is_still_kept(proven: Life) -> None:
    known = tuple(
        {row.id: (row.sop_instance_uid, row.path) for (row,) in proven.rows(select(table))}
        for table in (InstanceRow, ResultRow)
    )
    assert [len(each) for each in known] == [3, 6]
    assert files(proven) == known
    with proven.ledger.write() as unit:
        for table in (InstanceRow, ResultRow):
            unit.session.execute(update(table).where(table.id == 2).values(path=None))
    for each in known:
        del each[2]
    assert files(proven) == known


def test_files_are_proven_part_by_part_and_none_twice(
    proven: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    reversed_where_unordered(proven.ledger.engine)
    monkeypatch.setattr(proof, "_MANY", 2)
    assert [list(each) for each in files(proven)] == [[1, 2], [1, 2]]
    assert [list(each) for each in files(proven, after=2)] == [[3], [3, 4]]
    names = {row.path for row in proven.rows(select(InstanceRow.path))}
    other = {f"instances/00/1.2.9.{n}-other.dcm" for n in range(5)}
    with proven.ledger.read() as session:
        assert proof.unnamed(session, names | other) == other


def test_a_file_that_a_row_of_another_uid_names_is_named(proven: Life) -> None:
    """As a person may have put one back, by hand."""
    for table in (InstanceRow, ResultRow):
        odd = "instances/00/9.9-odd.dcm" if table is InstanceRow else "results/00/9.9-odd.dcm"
        with proven.ledger.write() as unit:
            unit.session.execute(update(table).where(table.id == 1).values(path=odd))
        with proven.ledger.read() as session:
            assert proof.unnamed(session, {odd}) == set()


def test_a_result_is_not_taken_for_the_instance_of_its_number(proven: Life) -> None:
    with proven.ledger.read() as session:
        one = StoredObject.of(ObjectKind.INSTANCE, session.get_one(InstanceRow, 1))
        other = StoredObject.of(ObjectKind.RESULT, session.get_one(ResultRow, 1))
        assert proof.still_names(session, 1, one)
        assert proof.still_names(session, 1, other)
        assert not proof.still_names(session, 2, other)

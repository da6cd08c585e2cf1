"""Which files rows name: asked by what is indexed, and of a file that is gone for a reason."""

from __future__ import annotations

from typing import Any

from sqlalchemy import event, select, update

from dicom_node.ledger import proof
from dicom_node.ledger.tables import InstanceRow
from dicom_node.spool.stored import Kind, Stored
from tests.support.ledgers import Life


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
        other = {"instances/00/1.2.4.1-other.dcm", "results/00/1.2.9.dcm"}
        assert proof.unnamed(session, names | other) == other


def test_a_file_of_another_name_is_not_the_rows(life: Life) -> None:
    life.associate()
    life.receive("1.2.4.1")
    with life.ledger.write() as unit:
        (row,) = unit.session.execute(select(InstanceRow)).scalars()
        row_id, stored = row.id, Stored.of(Kind.INSTANCE, row)
    with life.ledger.read() as session:
        assert proof.still_names(session, row_id, stored)
        assert not proof.still_names(session, row_id + 1, stored)
    with life.ledger.write() as unit:
        unit.session.execute(update(InstanceRow).values(path=None))
    with life.ledger.read() as session:
        assert not proof.still_names(session, row_id, stored)

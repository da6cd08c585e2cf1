"""The ledger that a process works on is the one that it began on, or none."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import func, select, text

from dicom_node.bell.outbox import SilentBell
from dicom_node.errors import LedgerError, OtherLedger
from dicom_node.ledger import spools
from dicom_node.ledger.audit_events import AuditEvent
from dicom_node.ledger.engine import make_engine
from dicom_node.ledger.tables import AuditRow
from dicom_node.ledger.unit_of_work import Ledger
from tests.support.ledgers import Life, fresh_url


def rows(ledger: Ledger) -> int:
    with ledger.read() as session:
        return session.execute(select(func.count()).select_from(AuditRow)).scalar_one()


def record(ledger: Ledger) -> None:
    with ledger.write() as unit:
        unit.record(AuditEvent.ASSOCIATION_OPENED)


def test_what_is_written_after_the_file_was_removed_is_refused(tmp_path: Path) -> None:
    """SQLite itself goes on in a file that has no name any more, and says that all is well."""
    ledger = Ledger(make_engine(fresh_url(tmp_path)), SilentBell())
    record(ledger)
    path, away = tmp_path / "ledger.sqlite", tmp_path / "away"
    path.rename(away)
    for use in (record, rows):
        with pytest.raises(LedgerError, match="is gone") as caught:
            use(ledger)
        assert str(path) in str(caught.value)
        assert not isinstance(caught.value, OtherLedger)
    away.rename(path)
    record(ledger)
    assert rows(ledger) == 2
    ledger.engine.dispose()


def test_nobody_goes_on_in_a_file_that_was_put_in_its_place(tmp_path: Path) -> None:
    ledger = Ledger(make_engine(fresh_url(tmp_path)), SilentBell())
    record(ledger)
    (tmp_path / "other").mkdir()
    other = make_engine(fresh_url(tmp_path / "other"))
    other.dispose()
    for file in tmp_path.glob("ledger.sqlite-*"):
        file.unlink()
    (tmp_path / "other" / "ledger.sqlite").rename(tmp_path / "ledger.sqlite")
    for use in (record, rows):
        with pytest.raises(OtherLedger, match="is another file"):
            use(ledger)
    ledger.engine.dispose()
    again = Ledger(make_engine(f"sqlite:///{tmp_path / 'ledger.sqlite'}"), SilentBell())
    assert rows(again) == 0
    again.engine.dispose()


@pytest.mark.parametrize("change", ["DELETE FROM spool", "UPDATE spool SET marker = 'another'"])
def test_another_ledger_at_the_same_address_is_noticed(life: Life, change: str) -> None:
    """A database that was made anew, or a file that was copied over."""
    ledger = Ledger(life.ledger.engine, SilentBell(), look_again_seconds=0)
    rows(ledger)
    with ledger.write() as unit:
        spools.remember(unit, "0" * 32)
    record(ledger)
    with life.ledger.engine.begin() as connection:
        connection.execute(text(change))
    for use in (record, rows):
        with pytest.raises(OtherLedger, match="another ledger"):
            use(ledger)

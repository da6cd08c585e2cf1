"""An intake on a folder of its own, with a ledger that may be away."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import select

from dicom_node.bell.outbox import SilentBell
from dicom_node.errors import CommitInDoubt, LedgerError
from dicom_node.intake.intake import LedgerIntake
from dicom_node.ledger.tables import AuditRow, InstanceRow
from dicom_node.ledger.unit_of_work import Ledger, UnitOfWork
from dicom_node.network.accept.ports import Caller, ReceivedInstance
from dicom_node.spool.spool import Spool
from tests.support.factories.received import CALLER, data_set_of, received
from tests.support.ledgers import fresh_url, open_ledger


class FailingLedger(Ledger):
    """A ledger whose database is away while `away` is set."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__(ledger.engine, SilentBell())
        self.away = False
        self.fault: Exception | None = None
        self.fault_at_commit = False
        self.writes = 0

    @contextmanager
    def write(self) -> Iterator[UnitOfWork]:
        self.writes += 1
        if self.away:
            raise LedgerError("the ledger's database answered: no answer")
        with super().write() as unit:
            yield unit
            if self.fault is not None:
                raise self.fault
        if self.fault_at_commit:
            self.fault_at_commit = False
            raise CommitInDoubt("it went away while it committed")


class IntakeNode:
    """An intake on a folder of its own."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.spool = Spool(folder / "spool")
        self.ledger = FailingLedger(open_ledger(fresh_url(folder)))
        self.options = {
            "name": "here:11112", "refuse_conflicts": False, "minimum_free_fraction": 0.0,
            "minimum_free_bytes": 0, **options,
        }  # fmt: skip
        self.intake = self.restart()

    def restart(self) -> LedgerIntake:
        self.intake = LedgerIntake(self.ledger, self.spool, **self.options)
        return self.intake

    def received(
        self, uid: str, data: bytes = b"data", caller: Caller = CALLER
    ) -> ReceivedInstance:
        return received(self.spool, uid, data, caller=caller)

    def store(self, uid: str, data: bytes = b"data", caller: Caller = CALLER) -> int:
        return self.intake.store(self.received(uid, data, caller))

    def files(self) -> list[Path]:
        return [path for path in (self.spool.root / "instances").rglob("*") if path.is_file()]

    def data(self) -> list[bytes]:
        """The data sets of all files."""
        return sorted(data_set_of(path.read_bytes()) for path in self.files())

    def named(self) -> Path:
        """The file that the only row names."""
        (row,) = self.instances()
        return self.spool.path(str(row.path))

    def rows(self, statement: Any) -> list[Any]:
        with self.ledger.read() as session:
            return list(session.execute(statement).all())

    def instances(self) -> list[InstanceRow]:
        return [row[0] for row in self.rows(select(InstanceRow).order_by(InstanceRow.id))]

    def events(self) -> list[str]:
        return [row.event for row in self.rows(select(AuditRow.event).order_by(AuditRow.id))]

    def settle(self) -> None:
        """Wait until what was queued is written."""
        with suppress(LedgerError):
            self.store("9.9.9")

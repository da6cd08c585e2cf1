"""The parts that every process of a node needs, made from the settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dicom_node.bell.broker import rings_of
from dicom_node.bell.outbox import Bell, BrokerBell
from dicom_node.intake.marker import open_spool, require_unused
from dicom_node.ledger import past, revision
from dicom_node.ledger.bounds import COMMAND, Bounds
from dicom_node.ledger.engine import make_engine
from dicom_node.ledger.unit_of_work import Ledger
from dicom_node.models import Models
from dicom_node.settings import Settings
from dicom_node.spool.spool import Spool
from dicom_node.spool.stored import StoredObject, fault_of


@dataclass(frozen=True, slots=True)
class Node:
    """Settings, ledger, spool and models of one process."""

    settings: Settings
    ledger: Ledger
    spool: Spool
    models: Models

    @classmethod
    def open(
        cls,
        settings: Settings,
        bell: Bell | None = None,
        *,
        bounds: Bounds = COMMAND,
        away: bool = False,
    ) -> Node:
        """Open everything.

        Parameters
        ----------
        settings : Settings
        bell : Bell, optional
            Absent: the configured broker's.
        bounds : Bounds
            How long this kind of process waits for the ledger.
        away : bool
            Whether the spool may be away.

        Raises
        ------
        LedgerError
            The database cannot be reached, or holds no ledger.
        OtherMigration
            The ledger is not at this release's migration.
        StorageError
            The spool is away, or its folders cannot be made.
        """
        engine = make_engine(settings.database_url, bounds)
        if revision.current(engine) is None:
            require_unused(settings.storage.path, engine)
        revision.require_current(engine)
        chosen = bell if bell is not None else BrokerBell(rings_of(settings))
        ledger = Ledger(engine, chosen, bounds=bounds)
        spool = open_spool(settings.storage.path, ledger, away=away)
        return cls(settings, ledger, spool, Models.open(settings, ledger))

    def wrong_results(self, items: Sequence[int]) -> list[tuple[int, int, StoredObject]]:
        """Results of work items whose files do not hold what was made, or are gone.

        Returns
        -------
        list of tuple
            Batch id, work item id, and what the row says.

        Raises
        ------
        SpoolAway
            Nothing is known of files now.
        LedgerError
            The ledger does not answer.
        """
        self.spool.require_there()
        with self.ledger.read() as session:
            kept = past.stored(session, items)
        return [each for each in kept if fault_of(self.spool, each[2])]

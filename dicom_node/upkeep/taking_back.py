"""What processes of this machine held that no longer run is given out again, at once."""

from __future__ import annotations

import structlog

from dicom_node.ledger import batches, parcels, processes, unplanned
from dicom_node.ledger.unit_of_work import Ledger
from dicom_node.process_names import runs_here


def take_back_gone(ledger: Ledger) -> int:
    """Take back what is held under the name of a process that is known to be gone.

    What is held elsewhere is left to its lease. Nothing is written if there is nothing to take.
    Such a process has no sign of life in the ledger any more.

    Returns
    -------
    int
        Number of processes that were gone.

    Raises
    ------
    LedgerError
        The ledger does not answer.
    """
    with ledger.read() as session:
        holders = {*batches.holders(session), *parcels.holders(session)}
        holders |= {*unplanned.planners(session), *processes.names(session)}
    gone = sorted(holder for holder in holders if runs_here(holder) is False)
    for holder in gone:
        with ledger.write() as unit:
            taken = batches.take_back_expired(unit, worker=holder)
            returned = parcels.take_back_expired(unit, worker=holder)
            instances = unplanned.take_back(unit, holder)
            processes.over(unit, holder)
        if taken or returned or instances:
            structlog.get_logger("node").warning(
                "node.taken_back", worker=holder, batches=taken, parcels=returned,
                instances=instances,
            )  # fmt: skip
    return len(gone)

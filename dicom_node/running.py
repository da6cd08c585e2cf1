"""Whether the node runs: what its processes have left of signs of life, in words."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final

from dicom_node.finding import Finding
from dicom_node.ledger import holders, processes
from dicom_node.ledger.processes import Role, Sighting
from dicom_node.ledger.unit_of_work import Ledger
from dicom_node.process_names import runs_here

_NEWS: Final = timedelta(hours=1)
"""A process that has been silent for longer is no fault where others do what it did."""

_LACKING: Final = {
    Role.UP: "whatever ends is not started again",
    Role.INTAKE: "nothing is received",
    Role.UPKEEP: "nothing that arrives is planned",
    Role.INFER: "nothing is denoised; what arrives waits",
    Role.DELIVER: "nothing is delivered; results wait",
}
HOW_TO_START: Final = (
    "start the node: 'dicom-node up', 'systemctl start dicom-node', or whatever starts its "
    "containers"
)

_STARTED_AGAIN: Final = "'dicom-node up' starts it again by itself; if it does not, see its log"

NOTHING: Final = Finding(
    "processes", True, f"the node does not run: none of its processes does; {HOW_TO_START}",
    warning=True,
)  # fmt: skip
"""Of a node that does not run at all, which is no fault before its first start."""


def roles(ledger: Ledger) -> Iterator[Finding]:
    """What is to be said of each role; of a node that does not run at all, one thing.

    Raises
    ------
    LedgerError
        The ledger does not answer.
    """
    with ledger.read() as session:
        found = processes.seen(session)
        at = session.at
    if not found:
        yield NOTHING
        return
    supervised = any(each.process.role == Role.UP and not _fault(each) for each in found)
    remedy = _STARTED_AGAIN if supervised else HOW_TO_START
    for role in Role:
        of_role = [each for each in found if each.process.role == role]
        if of_role or role is not Role.UP:  # a cluster has none
            yield _of_role(role, of_role, at, remedy)


def silent_here(ledger: Ledger, role: Role) -> str:
    """Why this machine's process of a role counts as silent; empty if one gives signs.

    Raises
    ------
    LedgerError
        The ledger does not answer, or takes nothing, signs neither: nothing is known.
    """
    with ledger.read() as session:
        found = processes.seen(session, role=role, host=socket.gethostname())
    if not found:
        return f"no process of this machine for {role} has given a sign of life yet"
    faults = [f"{each.process.place}: {fault}" for each in found if (fault := _fault(each))]
    if len(faults) < len(found):
        return ""
    processes.can_be_written(ledger)
    return "; ".join(faults)


def _of_role(role: Role, found: Sequence[Sighting], at: datetime, remedy: str) -> Finding:
    """What is to be said of a role; `remedy` is for one that lacks all its processes."""
    if not found:
        return Finding(role, False, f"none runs, though others do: {_LACKING[role]}; {remedy}")
    faults = {each.process.name: _fault(each) for each in found}
    well = [each for each in found if not faults[each.process.name]]
    silent = [each for each in found if faults[each.process.name]]
    words = [_named(each) for each in well]
    words += [f"{_named(each)} {faults[each.process.name]}" for each in silent]
    only_old = bool(well) and all(at - each.sign_at > _NEWS for each in silent)
    if not well:
        words.append(_LACKING[role])
        if not any(runs_here(each.process.name) for each in silent):
            words.append(remedy)
    return Finding(
        role, not silent or only_old, "; ".join(words), warning=only_old and bool(silent)
    )


def _named(each: Sighting) -> str:
    process = each.process
    doing = f", {each.in_hand} in hand" if each.in_hand else ""
    since = each.started_at.isoformat(sep=" ", timespec="seconds")
    return f"{process.place} (process {process.pid}, {process.version}) since {since}{doing}"


def _fault(each: Sighting) -> str:
    """Why a process does not count as running, or ""."""
    since = f"since {each.sign_at.isoformat(sep=' ', timespec='seconds')}"
    here = runs_here(each.process.name)
    if here is False:
        return f"has ended without a word, silent {since}"
    if here:
        found = holders.runs(each.process.pid)
        if found is not None and found.stopped:
            return f"is stopped, silent {since}: {found.remedy}"
    return f"is silent {since}" if each.silent else ""

"""Proof that nothing was lost: the ledger against itself, the destinations and the spool.

Nothing is changed by it. Reports hold UIDs, names of routes and destinations, states and times.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import IntEnum
from typing import Any, Final, Protocol

from dicom_node.errors import ConfigError, FailItem, LedgerError
from dicom_node.intake.adoption import unknown_files
from dicom_node.ledger import proof
from dicom_node.ledger.proof import Scope
from dicom_node.ledger.states import DeliveryState
from dicom_node.ledger.unit_of_work import Ledger
from dicom_node.network.request.find import Finder, Holdings
from dicom_node.network.request.scu import NoAnswer
from dicom_node.places import place_of
from dicom_node.settings import DestinationSettings, Settings
from dicom_node.spool.spool import Spool
from dicom_node.spool.stored import StoredObject, fault_of

_NO_STUDY: Final = "the ledger has no valid Study Instance UID to ask for"


class ProofOutcome(IntEnum):
    """Outcome of a proof; the exit code of the command."""

    PROVEN = 0
    LOST = 1
    UNPROVABLE = 3


class Asks(Protocol):
    """What `dicom_node.network.request.find.Finder` does."""

    def instances(self, study_uid: str, series_uid: str, sop_instance_uid: str = "") -> Holdings:
        """Which instances of a series the destination holds."""


FinderOf = Callable[[DestinationSettings], AbstractContextManager[Asks]]


@dataclass(frozen=True, slots=True)
class LedgerProof:
    """Every accepted instance has one terminal state for each route that matched it.

    Attributes
    ----------
    instances
        How many were accepted.
    work_items
        State -> count.
    unplanned
        Instances that wait for planning.
    unfinished
        Work items in no terminal state, and since when.
    failed
        Work items that wait for a person, with their reasons.
    contradictions
        What must never be: planned instances without a work item, and delivered items without a
        delivery to each destination.
    """

    instances: int
    work_items: dict[str, int]
    unplanned: list[dict[str, Any]]
    unfinished: list[dict[str, Any]]
    failed: list[dict[str, Any]]
    contradictions: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class MissingResult:
    """A result that the destination took and does not hold."""

    destination: str
    study_uid: str
    series_uid: str
    sop_instance_uid: str
    delivered_at: datetime | None


@dataclass(frozen=True, slots=True)
class DestinationProof:
    """Whether a destination holds what it took.

    Attributes
    ----------
    destination
        Its name.
    delivered
        Results that the ledger says it took: `found` + the length of `missing` + `unprovable`.
    found
        Of these, how many it says it holds.
    missing
        Those it says it does not hold.
    unprovable
        How many it could not be asked about, for `reason`.
    waiting, failed
        Deliveries still to be made, and dead letters.
    reason
        Why something is unprovable; empty where nothing is.
    """

    destination: str
    delivered: int
    found: int
    missing: tuple[MissingResult, ...]
    unprovable: int
    waiting: int
    failed: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class SpoolProof:
    """Files that the ledger says are in the spool, and those of which it says nothing.

    Attributes
    ----------
    checked
        How many there should be.
    faults
        Those that are gone, cannot be read, or hold other bytes than recorded.
    unknown
        Files of instances that the ledger does not know; looked for where all of it is proven, not
        one study or a time.
    """

    checked: int
    faults: list[dict[str, str]]
    unknown: list[dict[str, str]]


@dataclass(frozen=True, slots=True)
class Report:
    """The whole proof."""

    ledger: LedgerProof
    destinations: list[DestinationProof] = field(default_factory=list)
    spool: SpoolProof | None = None

    @property
    def outcome(self) -> ProofOutcome:
        """Lost if anything is missing or failed; else unprovable if anything is."""
        if (
            self.ledger.failed
            or self.ledger.contradictions
            or any(each.missing or each.failed for each in self.destinations)
            or (self.spool is not None and (self.spool.faults or self.spool.unknown))
        ):
            return ProofOutcome.LOST
        if (
            self.ledger.unplanned
            or self.ledger.unfinished
            or any(each.unprovable or each.waiting for each in self.destinations)
        ):
            return ProofOutcome.UNPROVABLE
        return ProofOutcome.PROVEN


def reconcile(
    ledger: Ledger,
    settings: Settings,
    scope: Scope,
    *,
    destination: str | None = None,
    spool: Spool | None = None,
    finder_of: FinderOf | None = None,
) -> Report:
    """Prove what the ledger says.

    Parameters
    ----------
    ledger : Ledger
        Only read.
    settings : Settings
        For the addresses of destinations.
    scope : Scope
        Which instances.
    destination : str, optional
        Ask only this one.
    spool : Spool, optional
        Also read every file that the ledger says is there; absent: do not.
    finder_of : callable, optional
        Makes what asks a destination; by default C-FIND.

    Raises
    ------
    LedgerError
        The database is away.
    ConfigError
        No destination has that name, in the configuration or in the ledger.
    FailItem
        The ledger does not know the study.
    """

    def finder(one: DestinationSettings) -> AbstractContextManager[Asks]:
        return Finder(one, settings.node.ae_title)

    with ledger.read() as session:
        counted = proof.deliveries(session, scope)
    states = _ledger(ledger, scope)
    if scope.study_uid is not None and not states.instances:
        raise FailItem(
            f"no study {scope.study_uid} in the ledger (in that time); see 'dicom-node study list'"
        )
    if destination is not None:
        if destination not in counted and settings.destination(destination) is None:
            raise ConfigError(f"no [[destinations]] entry and no delivery is named {destination!r}")
        counted = {destination: counted.get(destination, {})}
    return Report(
        states,
        [
            _destination(
                ledger, settings, scope, name=name, counts=counts, finder_of=finder_of or finder
            )
            for name, counts in counted.items()
        ],
        None if spool is None else _spool(ledger, scope, spool),
    )


def _ledger(ledger: Ledger, scope: Scope) -> LedgerProof:
    with ledger.read() as session:
        idle = proof.without_work(session, scope)
        return LedgerProof(
            instances=proof.instances(session, scope),
            work_items=proof.work_items(session, scope),
            unplanned=[_without(row, "planned") for row in idle if not row["planned"]],
            unfinished=proof.unfinished(session, scope),
            failed=proof.failed(session, scope),
            contradictions=[
                *(_without(row, "planned") | {"fault": "planned, but no work item accounts for it"}
                  for row in idle if row["planned"]),
                *(row | {"fault": f"delivered, but {row['deliveries']} of {row['destinations']} "
                         "destinations have answered"}
                  for row in proof.contradictions(session, scope)),
            ],
        )  # fmt: skip


def _without(row: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key != name}


def _destination(
    ledger: Ledger,
    settings: Settings,
    scope: Scope,
    *,
    name: str,
    counts: dict[str, int],
    finder_of: FinderOf,
) -> DestinationProof:
    """Prove one destination; `counts` is its deliveries by state."""
    with ledger.read() as session:
        every = proof.delivered_series(session, scope, name)
    so_far = DestinationProof(
        name,
        delivered=sum(series.count for series in every),
        found=0,
        missing=(),
        unprovable=0,
        waiting=counts.get(DeliveryState.WAITING.value, 0),
        failed=counts.get(DeliveryState.FAILED.value, 0),
    )
    address = settings.destination(name)
    if address is None:
        reason = "the configuration no longer names it"
        return replace(so_far, unprovable=so_far.delivered, reason=reason if every else "")
    with finder_of(address) as finder:
        for at, series in enumerate(every):
            if series.study_uid is None:
                unprovable = so_far.unprovable + series.count
                so_far = replace(so_far, unprovable=unprovable, reason=_NO_STUDY)
                continue
            with ledger.read() as session:
                uids = proof.delivered_uids(session, scope, series)
            try:
                so_far = _series(so_far, series.study_uid, series.series_uid, uids, finder)
            except LedgerError:
                raise
            except NoAnswer as error:
                left = sum(one.count for one in every[at:])
                unprovable = so_far.unprovable + left
                return replace(so_far, unprovable=unprovable, reason=str(error))
            except Exception as error:  # noqa: BLE001 -- said of this series; the others are asked
                reason = f"a fault of the node: {place_of(error)}"
                unprovable = so_far.unprovable + series.count
                so_far = replace(so_far, unprovable=unprovable, reason=reason)
    return so_far


def _series(
    so_far: DestinationProof,
    study_uid: str,
    series_uid: str,
    uids: dict[str, datetime | None],
    finder: Asks,
) -> DestinationProof:
    """Add a series to the proof.

    What the answer about the whole series does not name is asked for one by one, unless the
    destination knows nothing of the series: many servers limit the matches they return, and not
    all of them say so.
    """
    answer = finder.instances(study_uid, series_uid)
    found = answer.uids & uids.keys()
    missing: list[MissingResult] = []
    unknown = 0
    for uid in sorted(uids.keys() - found):
        if answer.uids or not answer.complete:
            single = finder.instances(study_uid, series_uid, uid)
            if uid in single.uids:
                found |= {uid}
                continue
            if not single.complete:
                unknown += 1
                continue
        missing.append(MissingResult(so_far.destination, study_uid, series_uid, uid, uids[uid]))
    return replace(
        so_far,
        found=so_far.found + len(found),
        missing=so_far.missing + tuple(missing),
        unprovable=so_far.unprovable + unknown,
        reason="it does not say whether its answers are complete" if unknown else so_far.reason,
    )


def _spool(ledger: Ledger, scope: Scope, spool: Spool) -> SpoolProof:
    checked = 0
    faults: list[dict[str, str]] = []
    for row_id, stored in _kept(ledger, scope):
        checked += 1
        fault = fault_of(spool, stored)
        if not fault:
            continue
        with ledger.read() as session:
            if not proof.still_names(session, row_id, stored):
                checked -= 1
                continue
        uid = stored.sop_instance_uid
        faults.append(
            {"kind": stored.kind.value, "sop_instance_uid": uid, "path": stored.path or "",
             "fault": fault.removeprefix(f"{uid}: ")}
        )  # fmt: skip
    unknown = [] if scope.is_part else [
        {"path": file.name, "sop_instance_uid": file.instance.sop_instance_uid
         if file.instance else "", "from": file.source, "fault": file.fault}
        for file in unknown_files(ledger, spool)
    ]  # fmt: skip
    return SpoolProof(checked, faults, unknown)


def _kept(ledger: Ledger, scope: Scope) -> Iterator[tuple[int, StoredObject]]:
    for read in (proof.instance_files, proof.result_files):
        after = 0
        while True:
            with ledger.read() as session:
                files = read(session, scope, after)
            if not files:
                break
            yield from files
            after = files[-1][0]

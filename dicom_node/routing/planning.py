"""Planning: received instances become work items in batches, whatever they look like."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Protocol

import structlog
from pydicom.dataset import Dataset
from sqlalchemy import select

from dicom_node import signs
from dicom_node.dicom.header import read_header, text_of
from dicom_node.errors import LedgerError, NodeError, RetryLater
from dicom_node.ledger import batches, unplanned, work_items
from dicom_node.ledger.faults import is_refusal
from dicom_node.ledger.states import MOST_TRIES, InstanceState, WorkState
from dicom_node.ledger.tables import InstanceRow, WorkItemRow
from dicom_node.ledger.unit_of_work import Ledger, UnitOfWork
from dicom_node.ledger.work_items import NO_ROUTE
from dicom_node.models import Models
from dicom_node.places import place_of
from dicom_node.process_names import process_name
from dicom_node.routing.deciding import Decider, Decision, EndedRoute, WantedRoute, checked, plan_of
from dicom_node.settings import Settings
from dicom_node.spool.spool import Spool
from dicom_node.spool.stored import ObjectKind, StoredObject, opened

_MOST_AT_ONCE: Final = 256
_MOST_ALONE: Final = 64
"""Instances that are planned alone before fresh ones have their turn again."""

_LONGEST_LOOK: Final = 60.0
"""Seconds after which the rest of a group is left for later."""

LEASE: Final = timedelta(minutes=10)
"""Longer than a group and the watchdog of its last instance take together."""

_PAUSE: Final = timedelta(seconds=5)
_ASIDE: Final = timedelta(seconds=30)
_CONFLICT: Final = (
    "an earlier instance has the same SOP Instance UID and other bytes; this one is kept aside as "
    "received and not processed; 'dicom-node study conflicts' shows both"
)
_ENDED: Final = (
    f"given up: the process that planned it ended {MOST_TRIES} times while it looked at this "
    "object; see the log of upkeep for why, then 'dicom-node study retry' tries it again"
)


class HangWatch(Protocol):
    """Ends the process when what it watches hangs; see `dicom_node.watchdog`."""

    def __call__(self) -> AbstractContextManager[object]:
        """Watch the body of a ``with``."""


@dataclass(frozen=True, slots=True)
class _Look:
    """What came of looking at one instance: a decision, or when to look again."""

    decision: Decision | None = None
    again: timedelta = timedelta(0)
    counted: bool = False


class Planner:
    """Turns received instances into work items and batches.

    Any number of planners may run; each instance is planned once. A try is counted in the ledger
    before an instance is looked at: one that has a try behind it is planned alone, and the third
    that ends in an exception, or with the process, sets it aside.

    Parameters
    ----------
    settings : Settings
    ledger : Ledger
    spool : Spool
    models : Models
    watch : callable, optional
        Around each look at an instance; absent: a look that hangs is waited for.
    """

    def __init__(
        self,
        settings: Settings,
        ledger: Ledger,
        spool: Spool,
        models: Models,
        watch: HangWatch = nullcontext,
    ) -> None:
        self._settings = settings
        self._ledger = ledger
        self._spool = spool
        self._models = models
        self._watch = watch
        self._decider = Decider(settings, models)
        self._give_up = timedelta(hours=settings.delivery.give_up_hours)
        self._name = process_name()
        self._left: list[int] = []
        self._log = structlog.get_logger("planning")

    def plan(self) -> int:
        """Plan what has been received; returns the number of instances planned.

        Raises
        ------
        LedgerError
            The ledger is away; what was not planned is planned later, and no try is counted.
        SpoolAway
            Nothing was looked at, and no try is counted.
        """
        self._spool.require_there()
        if self._left:
            self._return(self._left, counted=False)
            self._left = []
        with self._ledger.read() as session:
            waiting = unplanned.waiting(session, session.at, _MOST_AT_ONCE)
        if not waiting:
            return 0
        self._models.look_again()  # an alias that was moved counts from here on
        fresh = [row_id for row_id, tries in waiting if not tries]
        tried = sorted((tries, row_id) for row_id, tries in waiting if tries)
        groups = [fresh] if fresh else []
        groups += [[row_id] for _, row_id in tried[:_MOST_ALONE]]
        return sum(self._plan(group) for group in groups)

    def close_batches(self) -> int:
        """Make open batches due whose sender is done or silent; returns how many."""
        quiet = timedelta(seconds=self._settings.batching.quiet_seconds)
        with self._ledger.read() as session:
            if not batches.any_ready(session, session.at, quiet):
                return 0
        with self._ledger.write() as unit:
            return batches.close_ready(unit, quiet)

    def _plan(self, ids: Sequence[int]) -> int:
        """Plan a group, each of which was counted before."""
        with self._ledger.write() as unit:
            rows = unplanned.take(unit, ids, self._name, LEASE)
        if not rows:
            return 0
        taken = [row.id for row in rows]
        try:
            return self._settle(self._look(rows))
        except Exception as error:
            if isinstance(error, LedgerError) and not is_refusal(error):
                self._left = taken
                raise
            if len(rows) > 1:
                self._log.exception("group.unplannable", instances=len(rows), next="one by one")
                self._return(taken, counted=True)
                return 0
            return self._settle({taken[0]: self._after_fault(rows[0], error)})

    def _look(self, rows: Sequence[InstanceRow]) -> dict[int, _Look]:
        until = time.monotonic() + _LONGEST_LOOK
        looked: dict[int, _Look] = {}
        for row in rows:
            late = looked and time.monotonic() > until
            looked[row.id] = _Look() if late else self._look_at(row)
        return looked

    def _look_at(self, row: InstanceRow) -> _Look:
        signs.own().give(signs.PIECE)
        if row.tries > MOST_TRIES:
            return _Look(_failed(_ENDED))
        try:
            with self._watch():
                return _Look(self._decide(row))
        except LedgerError:
            raise
        except RetryLater as error:
            if row.received_at + self._give_up <= self._ledger.clock():
                return _Look(_failed(f"it could not be planned: {error}"))
            self._log.error(
                "instance.unreadable", instance=row.id, error=str(error),
                again_seconds=_ASIDE.total_seconds(),
            )  # fmt: skip
            return _Look(again=_ASIDE)
        except NodeError as error:
            reason = str(error).removeprefix(f"{row.sop_instance_uid}: ")  # it is in the row
            return _Look(_failed(reason))
        except Exception as error:  # noqa: BLE001 -- it is counted, and then set aside
            return self._after_fault(row, error)

    def _after_fault(self, row: InstanceRow, error: Exception) -> _Look:
        """An exception that nobody thought of is a try of the object that it came with."""
        last = row.tries >= MOST_TRIES
        self._log.error(
            "instance.fault", instance=row.id, tries=row.tries, exc_info=error,
            next="it is set aside" if last else "it is tried again alone",
        )  # fmt: skip
        if not last:
            return _Look(again=_PAUSE * row.tries, counted=True)
        return _Look(
            _failed(
                f"given up after {row.tries} tries: {place_of(error)}; this is a fault of the "
                "node: report that line; 'dicom-node study retry' tries it again"
            )
        )

    def _settle(self, looked: dict[int, _Look]) -> int:
        """Write what came of a group in one transaction; the number of instances planned."""
        failed: Counter[tuple[str, str]] = Counter()
        done = 0
        with self._ledger.write() as unit:
            rows = unplanned.held(unit, list(looked), self._name)
            # Planners lock the open batches of series in one order, so none waits in a circle.
            for row in sorted(rows, key=lambda row: (_series(looked[row.id]), row.id)):
                one = looked[row.id]
                if one.decision is None:
                    until = unit.at + one.again if one.again else None
                    unplanned.let_go(row, counted=one.counted, until=until)
                    continue
                failed.update(self._apply(unit, row, one.decision))
                unplanned.planned(row)
                done += 1
        self._say(failed)
        return done

    def _return(self, ids: Sequence[int], *, counted: bool) -> None:
        with self._ledger.write() as unit:
            for row in unplanned.held(unit, ids, self._name):
                unplanned.let_go(row, counted=counted)

    def _decide(self, row: InstanceRow) -> Decision:
        with opened(self._spool, StoredObject.of(ObjectKind.INSTANCE, row)) as file:
            dataset: Dataset = read_header(file, row.sop_instance_uid)
        decision = self._decider.decide(dataset)
        return checked(decision, row, text_of(dataset, "SOPInstanceUID"))

    def _say(self, failed: Counter[tuple[str, str]]) -> None:
        """Log what failed once for each route and reason, however many instances it met."""
        for (route, reason), items in sorted(failed.items()):
            self._log.warning("items.failed", route=route, reason=reason, items=items)

    def _apply(
        self, unit: UnitOfWork, row: InstanceRow, decision: Decision
    ) -> list[tuple[str, str]]:
        """Write the decision; return route and reason of each item that failed."""
        row.study_uid = decision.study_uid or row.study_uid
        row.series_uid = decision.series_uid or row.series_uid
        row.modality = decision.modality or row.modality
        if row.state == InstanceState.CONFLICT.value:
            work_items.add(unit, row.id, NO_ROUTE, WorkState.FAILED, reason=_CONFLICT)
            return [(NO_ROUTE, _CONFLICT)]
        row.state = InstanceState.PLANNED.value
        existing = {
            item.route: item
            for item in unit.session.execute(
                select(WorkItemRow).where(WorkItemRow.instance_id == row.id)
            ).scalars()
        }
        for wanted in decision.wanted:
            item = existing.pop(wanted.route.name, None)
            if item is None or _is_to_plan(item):
                self._want(unit, row, wanted, decision.series_uid, item)
        failed: list[tuple[str, str]] = []
        for ended in decision.ended:
            item = existing.pop(ended.route, None)
            if item is None:
                work_items.add(unit, row.id, ended.route, ended.state, reason=ended.reason)
            elif _is_to_plan(item):
                work_items.end(unit, item.id, ended.state, ended.reason)
            else:
                continue
            if ended.state is WorkState.FAILED:
                failed.append((ended.route, ended.reason))
        unknown = next((each for each in decision.ended if each.route == NO_ROUTE), None)
        for item in existing.values():
            if not _is_to_plan(item):
                continue
            if unknown is not None and unknown.state is WorkState.FAILED:
                work_items.end(unit, item.id, WorkState.FAILED, unknown.reason)
            else:
                reason = f"route {item.route!r} no longer wants it"
                work_items.end(unit, item.id, WorkState.PASSED, reason)
        return failed

    def _want(
        self,
        unit: UnitOfWork,
        row: InstanceRow,
        wanted: WantedRoute,
        series_uid: str,
        item: WorkItemRow | None,
    ) -> None:
        batching = self._settings.batching
        batch_id = batches.join(
            unit,
            series_uid=series_uid,
            route=wanted.route.name,
            model=wanted.model,
            plan=plan_of(wanted, self._settings.workers.precision),
            association_id=row.association_id,
            size=row.size,
            most_instances=batching.instances,
            most_bytes=batching.megabytes * 2**20,
        )
        if item is None:
            work_items.add(unit, row.id, wanted.route.name, WorkState.PLANNED, batch_id=batch_id)
        else:
            item.batch_id = batch_id


def _failed(reason: str) -> Decision:
    """Nothing is known of the instance, and a person has to look."""
    return Decision(None, "", None, ended=(EndedRoute(NO_ROUTE, WorkState.FAILED, reason),))


def _series(looked: _Look) -> str:
    return "" if looked.decision is None else looked.decision.series_uid


def _is_to_plan(item: WorkItemRow) -> bool:
    return item.state == WorkState.PLANNED.value and item.batch_id is None

"""Planning: which routes want an instance, and into which batches its work items go."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import structlog
from pydicom.dataset import Dataset
from sqlalchemy import and_, or_, select

from dicom_node import eligibility
from dicom_node.db import batches, work_items
from dicom_node.db.tables import InstanceRow, WorkItemRow
from dicom_node.db.unit_of_work import Ledger, UnitOfWork
from dicom_node.db.work_items import NO_ROUTE
from dicom_node.domain.route import Explanation, Route, explain
from dicom_node.domain.uids import is_valid_uid
from dicom_node.domain.work import InstanceState, WorkState
from dicom_node.errors import FailItem, LedgerError, NodeError, PassThrough, RetryLater
from dicom_node.header import asked_of, read_header, text_of
from dicom_node.models import Models
from dicom_node.settings import Settings
from dicom_node.storage import Storage
from model_store.errors import ModelAwayError, ModelStoreError
from model_store.ref import ModelRef

_MOST_AT_ONCE: Final = 256
_MOST_ASIDE: Final = 10_000
_ASIDE_SECONDS: Final = 30.0
_CONFLICT: Final = (
    "an earlier instance has the same SOP Instance UID and other bytes; this one is kept aside as "
    "received and not processed; 'dicom-node study conflicts' shows both"
)
_CODE: Final = re.compile(r"[A-Z0-9_ ]{1,16}")
_TO_PLAN: Final = or_(
    InstanceRow.state == InstanceState.RECEIVED.value,
    and_(
        InstanceRow.state == InstanceState.CONFLICT.value,
        ~select(WorkItemRow.id).where(WorkItemRow.instance_id == InstanceRow.id).exists(),
    ),
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """One route that is to denoise the instance, with the model version it names now."""

    route: Route
    model: ModelRef
    strength: float


@dataclass(frozen=True, slots=True)
class Ended:
    """A work item that ends in planning, with its reason."""

    route: str
    state: WorkState
    reason: str


@dataclass(frozen=True, slots=True)
class Decision:
    """Everything that planning found out about an instance."""

    study_uid: str | None
    series_uid: str
    modality: str | None
    wanted: tuple[Wanted, ...] = ()
    ended: tuple[Ended, ...] = ()


class Decider:
    """Decides from a header; reads no ledger and writes nothing.

    Parameters
    ----------
    settings : Settings
    models : Models
        Asked for the version that a route's alias names, each time.
    """

    def __init__(self, settings: Settings, models: Models) -> None:
        self._routes = settings.domain_routes()
        self._first_only = settings.routing.matches == "first"
        self._uid_root = settings.results.uid_root
        self._models = models

    def explain(self, dataset: Dataset) -> tuple[Explanation, ...]:
        """Why each route matches the data set or does not."""
        return explain(
            self._routes, lambda keyword: asked_of(dataset, keyword), first_only=self._first_only
        )

    def decide(self, dataset: Dataset) -> Decision:
        """Decide which routes want the instance.

        Every matching route gets a verdict: wanted, or ended ``passed`` (not to be denoised) or
        ``failed`` (its model cannot be found). Without a matching route there is one ``passed``
        verdict for `NO_ROUTE`.
        """
        series_uid = text_of(dataset, "SeriesInstanceUID")
        study_uid = text_of(dataset, "StudyInstanceUID")
        code = text_of(dataset, "Modality")
        modality = code if _CODE.fullmatch(code) else None
        known = (study_uid if is_valid_uid(study_uid) else None, modality)
        if not is_valid_uid(series_uid):
            return Decision(
                known[0], "", modality, ended=(_failed("no valid Series Instance UID"),)
            )
        matched = {each.route for each in self.explain(dataset) if each.matched}
        if not matched:
            reason = "no route matches" if modality else "no route matches; it names no modality"
            return Decision(
                known[0], series_uid, modality, ended=(Ended(NO_ROUTE, WorkState.PASSED, reason),)
            )
        if known[0] is None:
            return Decision(
                None, series_uid, modality, ended=(_failed("no valid Study Instance UID"),)
            )
        wanted: list[Wanted] = []
        ended: list[Ended] = []
        for route in self._routes:
            if route.name not in matched:
                continue
            try:
                wanted.append(self._want(route, dataset))
            except PassThrough as error:
                ended.append(Ended(route.name, WorkState.PASSED, str(error)))
            except FailItem as error:
                ended.append(Ended(route.name, WorkState.FAILED, str(error)))
        return Decision(known[0], series_uid, modality, tuple(wanted), tuple(ended))

    def _want(self, route: Route, dataset: Dataset) -> Wanted:
        eligible = eligibility.check(dataset, uid_root=self._uid_root)
        try:
            version = self._models.resolve(route.model)
        except ModelAwayError as error:
            raise RetryLater(f"model {route.model}: {error}") from error
        except ModelStoreError as error:
            raise FailItem(f"model {route.model}: {error}") from error
        manifest = version.manifest
        if eligible.units != manifest.input.units or eligible.modality not in manifest.modality:
            modality = eligible.modality if _CODE.fullmatch(eligible.modality) else "no modality"
            raise PassThrough(
                f"model {version.ref} is for {'/'.join(manifest.modality)} in "
                f"{manifest.input.units} values, not for {modality} in {eligible.units} values"
            )
        return Wanted(route, version.ref, route.strength_with(manifest.strength))


class Planner:
    """Turns received instances into work items and batches.

    Any number of planners may run; each instance is planned once.
    """

    def __init__(
        self, settings: Settings, ledger: Ledger, storage: Storage, models: Models
    ) -> None:
        self._settings = settings
        self._ledger = ledger
        self._storage = storage
        self._models = models
        self._decider = Decider(settings, models)
        self._give_up = timedelta(hours=settings.delivery.give_up_hours)
        self._aside: dict[int, float] = {}
        self._log = structlog.get_logger("planning")

    def plan(self) -> int:
        """Plan what has been received; returns the number of instances planned.

        Raises
        ------
        LedgerError
            Nothing was planned; try again.
        """
        self._aside = {key: at for key, at in self._aside.items() if at > time.monotonic()}
        with self._ledger.read() as session:
            received = session.execute(
                select(InstanceRow)
                .where(_TO_PLAN, InstanceRow.id.not_in(list(self._aside)[:_MOST_ASIDE]))
                .order_by(InstanceRow.id)
                .limit(_MOST_AT_ONCE)
            ).scalars()
            rows = list(received)
        if not rows:
            return 0
        self._models.look_again()  # an alias that was moved counts from here on
        decisions = {row.id: decision for row in rows if (decision := self._decide(row))}
        with self._ledger.write() as unit:
            locked = unit.session.execute(
                select(InstanceRow)
                .where(InstanceRow.id.in_(decisions))
                .where(_TO_PLAN)
                .order_by(InstanceRow.id)
                .with_for_update(skip_locked=True)
            ).scalars()
            # Planners lock the open batches of series in one order, so none waits in a circle.
            ordered = sorted(locked, key=lambda row: (decisions[row.id].series_uid, row.id))
            failed: Counter[tuple[str, str]] = Counter()
            for row in ordered:
                failed.update(self._apply(unit, row, decisions[row.id]))
        self._say(failed)
        return len(ordered)

    def close_batches(self) -> int:
        """Make open batches due whose sender is done or silent; returns how many."""
        quiet = timedelta(seconds=self._settings.batching.quiet_seconds)
        with self._ledger.read() as session:
            if not batches.any_ready(session, self._ledger.clock(), quiet):
                return 0
        with self._ledger.write() as unit:
            return batches.close_ready(unit, quiet)

    def _decide(self, row: InstanceRow) -> Decision | None:
        if row.path is None:
            ended = Ended(NO_ROUTE, WorkState.FAILED, "its bytes are no longer kept")
            return Decision(None, "", None, ended=(ended,))
        try:
            dataset = read_header(self._storage.root / row.path, row.sop_instance_uid)
            decision = self._decider.decide(dataset)
            return _checked(decision, row, text_of(dataset, "SOPInstanceUID"))
        except LedgerError:
            raise
        except RetryLater as error:
            if row.received_at + self._give_up > self._ledger.clock():
                self._set_aside(row, error)
                return None
            ended = Ended(NO_ROUTE, WorkState.FAILED, f"it could not be planned: {error}")
            return Decision(None, "", None, ended=(ended,))
        except NodeError as error:
            reason = str(error).removeprefix(f"{row.sop_instance_uid}: ")  # it is in the row
            ended = Ended(NO_ROUTE, WorkState.FAILED, reason)
            return Decision(None, "", None, ended=(ended,))

    def _set_aside(self, row: InstanceRow, error: RetryLater) -> None:
        """Leave an instance for a while, so that those behind it are planned."""
        self._aside[row.id] = time.monotonic() + _ASIDE_SECONDS
        self._log.error(
            "instance.unreadable", instance=row.id, error=str(error),
            again_seconds=_ASIDE_SECONDS,
        )  # fmt: skip

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
        for item in existing.values():
            if _is_to_plan(item):
                reason = f"route {item.route!r} no longer wants it"
                work_items.end(unit, item.id, WorkState.PASSED, reason)
        return failed

    def _want(
        self,
        unit: UnitOfWork,
        row: InstanceRow,
        wanted: Wanted,
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


def _failed(what: str) -> Ended:
    return Ended(NO_ROUTE, WorkState.FAILED, f"the data set has {what}; ask the sender to mend it")


def _checked(decision: Decision, row: InstanceRow, named: str) -> Decision:
    """Fail what would be denoised, or has failed, if its data set is not what the request said."""
    failed = any(ended.state is WorkState.FAILED for ended in decision.ended)
    if named == row.sop_instance_uid or not (decision.wanted or failed):
        return decision
    if is_valid_uid(named):
        reason = (
            f"the data set names SOP Instance UID {named}, the request that it came with another; "
            "results could not be linked to their source"
        )
    else:
        syntax = row.transfer_syntax_uid
        reason = (
            "the data set has no valid SOP Instance UID: it is damaged, or not in the transfer "
            f"syntax that it was sent in ({syntax})"
        )
    ended = Ended(NO_ROUTE, WorkState.FAILED, reason)
    return Decision(decision.study_uid, decision.series_uid, decision.modality, ended=(ended,))


def _is_to_plan(item: WorkItemRow) -> bool:
    return item.state == WorkState.PLANNED.value and item.batch_id is None


def plan_of(wanted: Wanted, precision: str) -> Mapping[str, Any]:
    """What a batch remembers of its route, so that later changes leave planned work alone."""
    route = wanted.route
    return {
        "strength": wanted.strength,
        "strength_of": "model" if route.strength is None else "route",
        "output": route.output.value,
        "destinations": list(route.destinations),
        "series_description": route.series_description,
        "series_number": route.series_number,
        "parameters": route.parameters(wanted.strength) | {"precision": precision},
    }

"""Deciding from a header which routes want an instance."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydicom.dataset import Dataset

from dicom_node.dicom.header import asked_of, text_of
from dicom_node.dicom.uids import is_valid_uid
from dicom_node.domain.route import Explanation, Route, explain
from dicom_node.errors import FailItem, PassThrough, RetryLater
from dicom_node.ledger.states import WorkState
from dicom_node.ledger.tables import InstanceRow
from dicom_node.ledger.work_items import NO_ROUTE
from dicom_node.models import Models
from dicom_node.routing import eligibility
from dicom_node.settings import Settings
from model_store.errors import ModelAwayError, ModelStoreError
from model_store.ref import ModelRef

_CODE: Final = re.compile(r"[A-Z0-9_ ]{1,16}")


@dataclass(frozen=True, slots=True)
class WantedRoute:
    """One route that is to denoise the instance, with the model version it names now."""

    route: Route
    model: ModelRef
    strength: float


@dataclass(frozen=True, slots=True)
class EndedRoute:
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
    wanted: tuple[WantedRoute, ...] = ()
    ended: tuple[EndedRoute, ...] = ()


class Decider:
    """Decides from a header; reads no ledger and writes nothing.

    Parameters
    ----------
    settings : Settings
    models : Models
        Asked for the version that a route's alias names, each time.
    routes : tuple of Route, optional
        Absent: those of the settings.
    """

    def __init__(
        self, settings: Settings, models: Models, routes: tuple[Route, ...] | None = None
    ) -> None:
        self._routes = settings.domain_routes() if routes is None else routes
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

        Every matching route wants it, or has ended: ``passed`` (not to be denoised) or ``failed``
        (its model cannot be found). Without a matching route `NO_ROUTE` has ended ``passed``.
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
                known[0],
                series_uid,
                modality,
                ended=(EndedRoute(NO_ROUTE, WorkState.PASSED, reason),),
            )
        if known[0] is None:
            return Decision(
                None, series_uid, modality, ended=(_failed("no valid Study Instance UID"),)
            )
        wanted: list[WantedRoute] = []
        ended: list[EndedRoute] = []
        for route in self._routes:
            if route.name not in matched:
                continue
            try:
                wanted.append(self._want(route, dataset))
            except PassThrough as error:
                ended.append(EndedRoute(route.name, WorkState.PASSED, str(error)))
            except FailItem as error:
                ended.append(EndedRoute(route.name, WorkState.FAILED, str(error)))
        return Decision(known[0], series_uid, modality, tuple(wanted), tuple(ended))

    def _want(self, route: Route, dataset: Dataset) -> WantedRoute:
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
        return WantedRoute(route, version.ref, route.strength_with(manifest.strength))


def _failed(what: str) -> EndedRoute:
    return EndedRoute(
        NO_ROUTE, WorkState.FAILED, f"the data set has {what}; ask the sender to mend it"
    )


def checked(decision: Decision, row: InstanceRow, named: str) -> Decision:
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
    ended = EndedRoute(NO_ROUTE, WorkState.FAILED, reason)
    return Decision(decision.study_uid, decision.series_uid, decision.modality, ended=(ended,))


def plan_of(wanted: WantedRoute, precision: str) -> Mapping[str, Any]:
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

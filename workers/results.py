"""What a result says of itself: from its batch, its source, its engine and the node's settings."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from importlib import metadata
from typing import Any, Final, Protocol

from dicom_node.dicom.uids import UUID_ROOT, result_series_uid, result_sop_instance_uid
from dicom_node.settings.sections import ResultSettings, WorkerSettings
from model_store.engines.base import Engine
from model_store.ref import ModelRef
from workers.encode import ResultSpec
from workers.infer import Denoiser
from workers.load import Source
from workers.templates import series_labels

_LONGEST_ENGINE: Final = 128


class PlannedBatch(Protocol):
    """What results of one series have in common: a batch of the ledger, or what stands for one."""

    @property
    def series_uid(self) -> str:
        """Series Instance UID of the sources."""

    @property
    def route(self) -> str:
        """Name of the route."""

    @property
    def model(self) -> ModelRef:
        """The model version."""

    @property
    def plan(self) -> Mapping[str, Any]:
        """What planning said; see `dicom_node.routing.deciding.plan_of`."""


class PlannedItem(Protocol):
    """What is one result's own: a work item of the ledger, or what stands for one."""

    @property
    def sop_instance_uid(self) -> str:
        """SOP Instance UID of the source."""

    @property
    def planned_at(self) -> datetime:
        """When it was planned; aware."""


def software_version() -> str:
    """Version of the node that is installed."""
    return metadata.version("dicom-node")


def record_of(denoiser: Denoiser) -> dict[str, str]:
    """Everything that the ledger keeps of how a result was computed, for `workers.replay`.

    Kind of engine, precision, device, its library's version and its settings as the engine tells
    them, how images were cut, and the node's own version.
    """
    return {**denoiser.describe(), "node": software_version()}


def parameters_of(batch: PlannedBatch, workers: WorkerSettings) -> dict[str, str]:
    """Everything besides source, route and model that the UIDs of a batch's results come from.

    The precision is the one that these workers compute in: it may have been set anew since the
    batch was planned, and other pixels are another object.
    """
    return {**batch.plan["parameters"], "precision": workers.precision}


def result_spec(
    settings: ResultSettings,
    batch: PlannedBatch,
    item: PlannedItem,
    source: Source,
    engine: Engine,
    *,
    parameters: Mapping[str, str],
) -> ResultSpec:
    """Say what the result of one item is to say about itself.

    The same arguments give the same, down to the time: that of planning, not of now.

    Parameters
    ----------
    settings : ResultSettings
    batch : PlannedBatch
    item : PlannedItem
        Of that batch.
    source : Source
        The item's image.
    engine : Engine
        What its pixels were computed by.
    parameters : mapping of str to str
        What its UIDs come from; see `parameters_of`.
    """
    root = settings.uid_root or UUID_ROOT
    sha256 = batch.model.sha256
    description, number = series_labels(source.dataset, batch.plan, batch.route, batch.model)
    return ResultSpec(
        form=batch.plan["output"],
        model=batch.model,
        engine=f"{engine.name} {engine.precision} on {engine.device}"[:_LONGEST_ENGINE],
        strength=float(batch.plan["strength"]),
        route=batch.route,
        sop_instance_uid=result_sop_instance_uid(
            item.sop_instance_uid, batch.route, sha256, parameters, root=root
        ),
        series_instance_uid=result_series_uid(
            batch.series_uid, batch.route, sha256, parameters, root=root
        ),
        series_number=number,
        series_description=description,
        derivation_description=(
            f"Denoised by model {batch.model}, strength {batch.plan['strength']:g}, "
            f"route {batch.route}"
        ),
        at=item.planned_at.replace(microsecond=0),
        device_serial_number=settings.device_serial_number,
        institution_name=settings.institution_name,
        software_version=software_version(),
    )

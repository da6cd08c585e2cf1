"""A DICOM object, denoised at once: the result that a node would make of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, BinaryIO, Final

from pydicom.dataset import Dataset

from dicom_node.dicom.header import read_header, text_of
from dicom_node.dicom.uids import is_valid_uid
from dicom_node.errors import FailItem, NodeError, NoImage, PassThrough
from dicom_node.ledger.states import WorkState
from dicom_node.routing.deciding import WantedRoute, plan_of
from dicom_node.routing.eligibility import units
from model_store.ref import ModelRef
from workers.direct.denoised_file import DenoisedFile, Provenance, middle, noise_of
from workers.direct.networks import Networks
from workers.direct.request import Request
from workers.encode import encode
from workers.load import load
from workers.results import parameters_of, record_of, result_spec

_DIRECTORY: Final = "1.2.840.10008.1.3.10"


@dataclass(frozen=True, slots=True)
class _PlannedBatch:
    """What a batch of the ledger would be."""

    series_uid: str
    route: str
    model: ModelRef
    plan: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _PlannedItem:
    """What a work item of the ledger would be."""

    sop_instance_uid: str
    planned_at: datetime


def denoise_object(networks: Networks, file: BinaryIO, asked: Request, name: str) -> DenoisedFile:
    """Denoise a DICOM object.

    The steps are those of a node: its rules say whether the object is denoised, its stages read,
    denoise and encode it.

    Parameters
    ----------
    networks : Networks
    file : BinaryIO
        A Part 10 file that can be sought in.
    asked : Request
    name : str
        What messages call the object before its SOP Instance UID is known.

    Raises
    ------
    NoImage
        It is the directory of a CD.
    PassThrough
        It must not be denoised; the message is the node's own reason.
    NodeError, ModelStoreError
        It cannot be read or denoised, or the model cannot be had.
    """
    settings = networks.settings
    header = read_header(file, name)
    if text_of(header.file_meta, "MediaStorageSOPClassUID") == _DIRECTORY:
        raise NoImage("is the directory of a medium (DICOMDIR)")
    wanted, series_uid = _wanted(networks, header, asked)
    uid = text_of(header, "SOPInstanceUID")
    if not is_valid_uid(uid):
        raise FailItem("the data set has no valid SOP Instance UID: a result could not refer to it")
    source = load(file, name=uid)
    pixels, denoiser = networks.run(wanted.model, source.frames, wanted.strength)
    plan = plan_of(wanted, settings.workers.precision)
    batch = _PlannedBatch(series_uid, wanted.route.name, wanted.model, plan)
    spec = result_spec(
        settings.results, batch, _PlannedItem(uid, asked.at), source, denoiser.engine,
        parameters=parameters_of(batch, settings.workers),
    )  # fmt: skip
    result = encode(source, pixels, spec)
    before, after = middle(source, pixels)
    noise = noise_of(before, after, source.units, source.frames[0].full_scale)
    how = Provenance(wanted.model, wanted.strength, record_of(denoiser), source.units, noise)
    return DenoisedFile(
        result.data, "DICOM", how, source, before, after, uid, spec.series_instance_uid,
    )  # fmt: skip


def uid_in(file: BinaryIO, name: str) -> str:
    """SOP Instance UID of a file; empty where it has none, or nothing can be read."""
    try:
        return text_of(read_header(file, name), "SOPInstanceUID")
    except NodeError:
        return ""


def _wanted(networks: Networks, header: Dataset, asked: Request) -> tuple[WantedRoute, str]:
    """What planning says of an object, and its series."""
    rule = asked.rule(units(header))
    networks.resolve(rule.model)  # a model that cannot be had is no fault of the object
    decision = networks.decide(rule, header)
    for ended in decision.ended:
        passed = ended.state is WorkState.PASSED
        raise PassThrough(ended.reason) if passed else FailItem(ended.reason)
    return decision.wanted[0], decision.series_uid

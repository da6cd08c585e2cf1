"""Shadow runs: another model version on a share of live batches, measured and never delivered."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import structlog
from numpy.typing import NDArray

from dicom_node import signs
from dicom_node.errors import FailItem, NodeError
from dicom_node.ledger import shadow_measures
from dicom_node.ledger.batches import ClaimedBatch, ClaimedItem
from dicom_node.node import Node
from dicom_node.noise import SOFT_TISSUE, exposed, levels
from dicom_node.places import place_of
from dicom_node.routing.eligibility import Units
from model_store.engines.base import DeviceLostError
from model_store.engines.equivalence import TWELVE_BITS
from model_store.errors import ModelStoreError
from model_store.ref import ModelName
from model_store.registry.records import SHADOW, Measure
from model_store.store import ModelVersion
from workers.engines import Denoisers
from workers.frame import Frame
from workers.infer import Denoiser
from workers.item import InferredItem
from workers.pipeline import BatchObserver

_KNOWN: Final = (NodeError, ModelStoreError)

_MOST_PIXELS: Final = 32 * 2**20
"""Most pixels that are kept of a batch: two large radiographs, 300 MB with what is made of them."""

_LONGEST: Final = 120.0
"""Seconds for one image after which a shadow is stopped: the next batch waits for it."""


Pixels = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class ProductionFrame:
    """One frame and what production made of it.

    Parameters
    ----------
    work_item_id : int
    units : {"HU", "stored"}
    frame : Frame
    made : ndarray of float32, shape (H, W)
        Units of the frame, not rounded.
    seconds : float
        Time of production's network for it.
    """

    work_item_id: int
    units: Units
    frame: Frame
    made: Pixels
    seconds: float


class Shadows:
    """Gives batches of labels that have a shadow version a watch that runs it; an `Observer`.

    Parameters
    ----------
    node : Node
    denoisers : Denoisers
        Best of their own: an engine that is only looked at must not push out one that delivers.
    """

    def __init__(self, node: Node, denoisers: Denoisers) -> None:
        self._node = node
        self._denoisers = denoisers
        self._routes = {route.name: route.model for route in node.settings.domain_routes()}
        self._ran: set[tuple[str, tuple[int, int]]] = set()
        self._log = structlog.get_logger("shadow")

    def __call__(self, batch: ClaimedBatch) -> BatchObserver:
        """A watch that runs the shadow version if the batch is of the share that it sees."""
        named = self._routes.get(batch.route)
        if named is None:
            return BatchObserver()
        label = self._node.models.label_of(named)
        try:
            move = self._node.models.moves().get(ModelName(label, SHADOW))
        except (NodeError, ModelStoreError) as error:
            self._log.warning("shadow.unknown", label=label, error=str(error))
            return BatchObserver()
        if move is None or move.target is None or not is_seen(batch.batch_id, move.share or 0.0):
            return BatchObserver()
        if str(move.target) == str(batch.model):
            return BatchObserver()
        count = self._node.settings.models.shadow_instances
        return ShadowRun(self, batch, label, move.target, count)

    def run(
        self, batch: ClaimedBatch, label: str, target: ModelName, kept: Sequence[ProductionFrame]
    ) -> None:
        """Run a version on what was kept of a batch, measure, and record.

        Faults of the version are rows of their own; the ledger being away loses the rows.

        Raises
        ------
        DeviceLostError
            The GPU is lost: the process must end.
        """
        empty = [
            Measure(
                batch.batch_id, each.work_item_id, batch.route, label, batch.series_uid,
                str(batch.model), str(target),
            )
            for each in kept
        ]  # fmt: skip
        measures: list[Measure] = []
        try:
            version = self._version(target, kept)
            denoiser = self._denoisers.get(version.ref)
            own = batch.plan.get("strength_of") == "model"  # absent in plans of before 2026-11
            production = float(batch.plan["strength"])
            strength = version.manifest.strength if own else production
            empty = [
                replace(row, strength_production=production, strength_shadow=strength)
                for row in empty
            ]
            for each, row in zip(kept, empty, strict=True):
                measures.append(self._measured(row, denoiser, strength, each))
        except DeviceLostError:
            raise
        except Exception as error:  # noqa: BLE001 -- what only looks ends with its batch
            why = _why(error)
            self._log.error(
                "shadow.failed", batch=batch.batch_id, version=str(target), error=why,
                exc_info=None if isinstance(error, _KNOWN) else error,
            )  # fmt: skip
            failed = [replace(row, error=why) for row in empty[len(measures) :]]
            self._record([*measures, *failed])
            return
        self._record(measures)
        self._log.info(
            "shadow.measured", batch=batch.batch_id, version=str(target), images=len(measures)
        )

    def _version(self, target: ModelName, kept: Sequence[ProductionFrame]) -> ModelVersion:
        version = self._node.models.resolve(target)
        units = version.manifest.input.units
        if any(each.units != units for each in kept):
            raise FailItem(f"model {target} is for {units} values, these images have others")
        return version

    def _measured(
        self, row: Measure, denoiser: Denoiser, strength: float, kept: ProductionFrame
    ) -> Measure:
        """Measure one image; one with which nobody thought of something harms no other."""
        try:
            return self._measure(row, denoiser, strength, kept)
        except (NodeError, ModelStoreError, DeviceLostError):
            raise  # of the version, the machine or the time
        except Exception as error:  # noqa: BLE001 -- said of this image
            self._log.exception("shadow.fault", work_item=kept.work_item_id)
            return replace(row, error=_why(error))

    def _measure(
        self, row: Measure, denoiser: Denoiser, strength: float, kept: ProductionFrame
    ) -> Measure:
        started = time.monotonic()
        (made,) = denoiser.denoise([kept.frame], strength=strength, on_progress=_in_time(started))
        seconds = time.monotonic() - started
        size = (str(denoiser.engine.ref), kept.frame.shape)
        if size in self._ran:  # engines are slow on a size that is new to them
            row = replace(row, seconds_production=kept.seconds, seconds_shadow=seconds)
        self._ran.add(size)
        return measured(row, kept, made)

    def _record(self, measures: Sequence[Measure]) -> None:
        try:
            with self._node.ledger.write() as unit:
                shadow_measures.record(unit, measures)
        except NodeError as error:
            self._log.error("shadow.lost", measures=len(measures), error=str(error))


class ShadowRun(BatchObserver):
    """Keeps a few frames of one batch, and has a version run on them when it has ended.

    Parameters
    ----------
    shadows : Shadows
    batch : ClaimedBatch
    label : str
    target : ModelName
        ``name@version``.
    count : int
        Most frames to keep.
    """

    def __init__(
        self, shadows: Shadows, batch: ClaimedBatch, label: str, target: ModelName, count: int
    ) -> None:
        self._shadows = shadows
        self._batch = batch
        self._label = label
        self._target = target
        self._chosen = spread(batch.items, count)
        self._kept: list[ProductionFrame] = []
        self._pixels = 0

    def saw(self, inferred: Sequence[InferredItem]) -> None:
        """Keep the middle frame of each chosen item, while there is room."""
        for each in inferred:
            middle = each.source.frame_count // 2
            frame = each.source.frames[middle]
            if each.item.work_item_id not in self._chosen:
                continue
            if self._pixels + frame.values.size > _MOST_PIXELS:
                continue
            self._pixels += frame.values.size
            self._kept.append(
                ProductionFrame(
                    each.item.work_item_id, each.source.units, frame, each.pixels[middle],
                    each.seconds / each.source.frame_count,
                )
            )  # fmt: skip

    def finished(self) -> None:
        """Run the version on what was kept, and let that go."""
        kept, self._kept = self._kept, []
        if kept:
            self._shadows.run(self._batch, self._label, self._target, kept)


def is_seen(batch_id: int, share: float) -> bool:
    """Whether a batch is of the share that a shadow sees; for a batch always the same."""
    number = int.from_bytes(hashlib.sha256(str(batch_id).encode()).digest()[:8])
    return number < share * 2.0**64


def spread(items: Sequence[ClaimedItem], count: int) -> frozenset[int]:
    """Work item ids of `count` of the items, evenly spread."""
    count = min(count, len(items))
    return frozenset(
        items[(2 * i + 1) * len(items) // (2 * count)].work_item_id for i in range(count)
    )


def measured(row: Measure, kept: ProductionFrame, made: Pixels) -> Measure:
    """Complete a row with the measurements of what a shadow made.

    Parameters
    ----------
    row : Measure
        Says what was run on what.
    kept : ProductionFrame
        The frame, and what production made of it.
    made : ndarray of float32, shape (H, W)
        What the shadow made of it, in the same units.
    """
    frame, in_hu = kept.frame, kept.units == "HU"
    factor = 1.0 if in_hu else TWELVE_BITS / frame.full_scale
    region = SOFT_TISSUE if in_hu else exposed(round(frame.full_scale))
    found = levels([(frame.values, kept.made, made)], region, count=3, reference=1)
    change = (made.astype(np.float64) - kept.made)[frame.valid]
    return replace(
        row,
        noise_input=_number(factor * found.sd[0]),
        noise_production=_number(factor * found.sd[1]),
        noise_shadow=_number(factor * found.sd[2]),
        bias=_number(factor * found.shift[2]),
        rms_difference=factor * float(np.sqrt(np.mean(change**2))) if change.size else 0.0,
        largest_difference=factor * float(np.abs(change).max(initial=0.0)),
        units="HU" if in_hu else "grey levels of 12 bits",
    )


def _why(error: Exception) -> str:
    return str(error) if isinstance(error, _KNOWN) else f"{place_of(error)}; see the worker's log"


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _in_time(started: float) -> Callable[[int], None]:
    def check(_done: int) -> None:
        signs.own().give(signs.PIECE)
        if time.monotonic() - started > _LONGEST:
            raise FailItem(f"one image took longer than {_LONGEST:g} s")

    return check

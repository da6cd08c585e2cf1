"""Make a past result again, as the ledger says it was made, and compare; nothing is changed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from typing import Any, Final, Literal, cast, get_args

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread

from dicom_node.errors import FailItem, NodeError
from dicom_node.ledger import past
from dicom_node.ledger.audit_events import AuditEvent
from dicom_node.ledger.past import PastBatch, PastResult
from dicom_node.node import Node
from dicom_node.places import place_of
from dicom_node.spool.stored import opened
from model_store.engines.base import DeviceLostError
from model_store.engines.select import Kind, Precision, choose_engine
from model_store.errors import EngineUnavailableError, ModelStoreError
from model_store.ref import ModelName, ModelRef
from workers.encode import encode
from workers.infer import Denoiser
from workers.load import Source, load
from workers.pipeline import CHUNK
from workers.results import record_of, result_spec, software_version

Outcome = Literal["identical", "same pixels", "different", "not replayed"]
"""The object byte for byte; its pixels, with another header; other pixels; or nothing was made."""

_NEEDED: Final = ("engine", "precision", "tile", "batch")
_OF_THE_MACHINE: Final = (
    "node", "library", "device", "threads", "driver", "compute_capability", "plan_sha256",
)  # fmt: skip
"""What an engine says of itself that this machine decides, and not the configuration."""

_KNOWN: Final = (NodeError, ModelStoreError)
_Key = tuple[ModelRef, tuple[tuple[str, str], ...]]
"""A model version, and what an engine said of itself."""


@dataclass(frozen=True, slots=True)
class ReplayReport:
    """What came of one result.

    Parameters
    ----------
    result, source : str
        SOP Instance UIDs.
    model : str
        ``name@version`` that made it.
    outcome : {"identical", "same pixels", "different", "not replayed"}
    said : str
        The same in a sentence: by how much, or why not.
    pixels : int, optional
        Pixels that differ, where both results are there to be compared.
    largest : float, optional
        Largest difference of a pixel, in `units`.
    units : str
        ``HU`` or ``stored values``; empty where nothing was compared.
    changed : tuple of str
        What is not as it was then: library, device and the like.
    """

    result: str
    source: str
    model: str
    outcome: Outcome
    said: str
    pixels: int | None = None
    largest: float | None = None
    units: str = ""
    changed: tuple[str, ...] = ()

    @property
    def identical(self) -> bool:
        """Whether every pixel is what it was."""
        return self.outcome in ("identical", "same pixels")


class Impossible(FailItem):
    """A result cannot be made again; the message says why."""


class Replayer:
    """Makes results again. Close it after use.

    Parameters
    ----------
    node : Node
        Its settings of workers and routes do not matter, those of then do.
    keep : callable, optional
        Given what came out with every byte as it was.
    """

    def __init__(
        self, node: Node, keep: Callable[[PastResult, bytes], None] = lambda _each, _data: None
    ) -> None:
        self._node = node
        self._keep = keep
        self._denoiser: tuple[_Key, Denoiser] | None = None
        self._refused: dict[_Key, Impossible] = {}

    def __enter__(self) -> Replayer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Free the engine that was built last."""
        if self._denoiser is not None:
            self._denoiser[1].engine.close()
            self._denoiser = None

    def replay(self, wanted: Mapping[int, Sequence[int]], who: str) -> Iterator[ReplayReport]:
        """Make results again, one after the other, each noted in the audit record.

        Parameters
        ----------
        wanted : mapping of int to sequence of int
            Batch id to ids of work items that have a result; see `dicom_node.ledger.past.named`.
        who : str
            Who asks.

        Raises
        ------
        LedgerError
            If the ledger does not answer.
        """
        for batch_id, items in wanted.items():
            with self._node.ledger.read() as session:
                batch = past.batch(session, batch_id)
            for chunk in _chunks(batch, frozenset(items)):
                found = self._chunk(batch, chunk, frozenset(items))
                self._note(batch, found, who)
                yield from found.values()

    def _chunk(
        self, batch: PastBatch, chunk: Sequence[PastResult], wanted: frozenset[int]
    ) -> dict[int, ReplayReport]:
        """Make results of one chunk again; those of them that are wanted, by work item."""
        found: dict[int, ReplayReport] = {}
        sources: list[tuple[PastResult, Source]] = []
        for each in chunk:
            try:
                sources.append((each, self._source(each)))
            except Exception as error:  # noqa: BLE001 -- said of this one; the others are replayed
                found[each.item.work_item_id] = _impossible(each, error)
        alone = any(source.frame_count > 1 for _, source in sources)  # as the pipeline has them
        for group in [[one] for one in sources] if alone else [sources] if sources else []:
            found |= self._group(batch, group)
        return {item: found[item] for item in sorted(found) if item in wanted}

    def _group(
        self, batch: PastBatch, group: Sequence[tuple[PastResult, Source]]
    ) -> dict[int, ReplayReport]:
        try:
            denoiser = self._rebuilt(group[0][0])
            frames = [frame for _, source in group for frame in source.frames]
            pixels = denoiser.denoise(frames, strength=float(batch.batch.plan["strength"]))
        except DeviceLostError:
            raise
        except Exception as error:  # noqa: BLE001 -- said of each; the others are replayed
            if len(group) == 1 or isinstance(error, _KNOWN):
                return {each.item.work_item_id: _impossible(each, error) for each, _ in group}
            single = [self._group(batch, [one]) for one in group]
            return {item: made for one in single for item, made in one.items()}
        found: dict[int, ReplayReport] = {}
        first = 0
        for each, source in group:
            last = first + source.frame_count
            try:
                made = self._compared(batch, each, source, denoiser, pixels[first:last])
            except Exception as error:  # noqa: BLE001 -- said of this one
                made = _impossible(each, error)
            found[each.item.work_item_id] = made
            first = last
        return found

    def _source(self, each: PastResult) -> Source:
        source = each.item.source
        if source.path is None:
            raise Impossible("the bytes of its source are no longer kept ([storage] keep_hours)")
        with opened(self._node.spool, source) as file:
            return load(file, name=each.item.sop_instance_uid)

    def _rebuilt(self, each: PastResult) -> Denoiser:
        """The denoiser of then, as far as it can be had here."""
        key = each.model, tuple(sorted(each.engine.items()))
        if key in self._refused:
            raise self._refused[key]
        if self._denoiser is None or self._denoiser[0] != key:
            self.close()
            try:
                self._denoiser = key, self._build(each.model, each.engine)
            except Impossible as error:
                self._refused[key] = error  # the next result of a thousand need not try again
                raise
        return self._denoiser[1]

    def _build(self, ref: ModelRef, engine: Mapping[str, str]) -> Denoiser:
        missing = [word for word in _NEEDED if word not in engine]
        if missing:
            raise Impossible(f"the ledger does not say which {' and '.join(missing)} made it")
        kind, precision = engine["engine"], engine["precision"]
        if kind not in get_args(Kind) or precision not in get_args(Precision):
            raise Impossible(f"this release has no engine {kind} in {precision}")
        try:
            version = self._node.models.version(ModelName(ref.name, ref.version))
        except ModelStoreError as error:
            raise Impossible(f"model {ref} cannot be used: {error}") from error
        if version.ref != ref:
            raise Impossible(
                f"model {ref} in the store has sha256 {version.ref.sha256[:12]}..., the one that "
                f"made it {ref.sha256[:12]}...; install that one again"
            )
        try:
            built = choose_engine(
                version,
                cast(Kind, kind),
                cast(Precision, precision),
                int(engine.get("threads", "0")),
            ).engine
        except EngineUnavailableError as error:
            raise Impossible(
                f"engine {kind} {precision} is not on this machine: {error}"
            ) from error
        return Denoiser(version, built, tile=int(engine["tile"]), batch=int(engine["batch"]))

    def _compared(
        self,
        batch: PastBatch,
        each: PastResult,
        source: Source,
        denoiser: Denoiser,
        pixels: Sequence[NDArray[np.float32]],
    ) -> ReplayReport:
        settings = self._node.settings.results
        spec = replace(
            result_spec(
                settings,
                batch.batch,
                each.item,
                source,
                denoiser.engine,
                parameters=batch.batch.plan["parameters"],  # its UIDs are those that it had
            ),
            sop_instance_uid=each.sop_instance_uid,
            series_instance_uid=each.series_uid,
            software_version=each.engine.get("node", software_version()),
        )
        now = record_of(denoiser)
        changed = tuple(
            f"{word} was {each.engine[word]}, is {now.get(word, 'not told')}"
            for word in _OF_THE_MACHINE
            if word in each.engine and each.engine[word] != now.get(word)
        )
        try:
            made = encode(source, pixels, spec).data
        except NodeError as error:
            return _impossible(each, error)
        said = replace(_replayed(each, "identical", "every byte is what it was"), changed=changed)
        if hashlib.sha256(made).hexdigest() == each.sha256:
            self._keep(each, made)
            return said
        kept = self._kept(each)
        if isinstance(kept, str):
            why = f"the object has other bytes; {kept}, so nobody can say which pixels differ"
            return replace(said, outcome="different", said=why)
        return _by_pixels(said, kept, made, source)

    def _kept(self, each: PastResult) -> bytes | str:
        """The result as it was delivered, or why it is not there."""
        if each.result.path is None:
            return "those of the result are no longer kept"
        try:
            with opened(self._node.spool, each.result) as file:
                return file.read()
        except NodeError as error:
            return f"the result cannot be used: {error}"

    def _note(self, batch: PastBatch, found: Mapping[int, ReplayReport], who: str) -> None:
        with self._node.ledger.write() as unit:
            for work_item_id, each in found.items():
                unit.record(
                    AuditEvent.RESULT_REPLAYED,
                    {"result": each.result, "outcome": each.outcome, "said": each.said, "who": who},
                    instance_id=batch.results[work_item_id].instance_id,
                    work_item_id=work_item_id,
                    batch_id=batch.batch.batch_id,
                )


def _chunks(batch: PastBatch, wanted: frozenset[int]) -> Iterator[list[PastResult]]:
    """What went through the engine together, as far as it has to go together again.

    An engine that takes one image at a time gives the same whatever is beside it.
    """
    for first in range(0, len(batch.items), CHUNK):
        taken = batch.items[first : first + CHUNK]
        if wanted.isdisjoint(taken):
            continue
        there = [batch.results[item] for item in taken if item in batch.results]
        grouped = any(each.engine.get("batch", "1") != "1" for each in there)
        yield [each for each in there if grouped or each.item.work_item_id in wanted]


def _by_pixels(said: ReplayReport, then: bytes, now: bytes, source: Source) -> ReplayReport:
    old, new = _values(then, source), _values(now, source)
    units = "HU" if source.units == "HU" else "stored values"
    if old.shape != new.shape:
        why = f"the result has {old.shape} pixels, now there are {new.shape}"
        return replace(said, outcome="different", said=why, units=units)
    change = np.abs(new - old)
    count = int(np.count_nonzero(change))
    if not count:
        why = "every pixel is what it was; the header is another"
        return replace(said, outcome="same pixels", said=why, pixels=0, largest=0.0, units=units)
    largest = float(change.max())
    why = f"{count} of {change.size} pixels differ, by at most {largest:g} {units}"
    return replace(said, outcome="different", said=why, pixels=count, largest=largest, units=units)


def _values(data: bytes, source: Source) -> NDArray[np.float64]:
    """Pixels of an encoded result in the units of its source."""
    dataset: Any = dcmread(BytesIO(data))
    rescale = source.rescales[0] if source.rescales else None
    slope = dataset.get("RescaleSlope", rescale.slope if rescale else 1)
    intercept = dataset.get("RescaleIntercept", rescale.intercept if rescale else 0)
    stored: NDArray[Any] = dataset.pixel_array
    return stored.astype(np.float64) * float(slope) + float(intercept)


def _impossible(each: PastResult, error: Exception) -> ReplayReport:
    said = str(error) if isinstance(error, _KNOWN) else f"a fault of the node: {place_of(error)}"
    return _replayed(each, "not replayed", said)


def _replayed(each: PastResult, outcome: Outcome, said: str) -> ReplayReport:
    return ReplayReport(
        each.sop_instance_uid, each.item.sop_instance_uid, str(each.model), outcome, said
    )

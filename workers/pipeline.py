"""The way of a batch through a worker: claim, load, infer, encode, record."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from typing import Final

import structlog

from dicom_node import signs
from dicom_node.errors import (
    FailItem,
    LedgerError,
    ModelNotHere,
    Next,
    NodeError,
    OutOfSpace,
    RetryLater,
)
from dicom_node.ledger import batches, work_items
from dicom_node.ledger.audit_events import AuditEvent
from dicom_node.ledger.batches import ClaimedBatch, ClaimedItem
from dicom_node.ledger.faults import is_refusal
from dicom_node.ledger.results import NewResult, record_results
from dicom_node.ledger.states import WorkEvent
from dicom_node.node import Node
from dicom_node.places import place_of
from dicom_node.process_names import process_name
from dicom_node.spool.room import Room, Watermark
from dicom_node.spool.stored import opened
from dicom_node.upkeep.retention import remove_unnamed
from model_store.engines.base import DeviceLostError
from workers import returns
from workers.encode import encode
from workers.engines import Denoisers
from workers.infer import Denoiser
from workers.item import EndedItem, InferredItem, LoadedItem, at_fault
from workers.lease import Lease
from workers.load import load
from workers.next_batch import NextBatch
from workers.results import parameters_of, record_of, result_spec
from workers.returns import Returns

CHUNK: Final = 4
"""Items that go through the stages together: enough for the engine, little to lose."""


class BatchObserver:
    """Is shown what becomes of one batch; this one does not look."""

    def saw(self, inferred: Sequence[InferredItem]) -> None:
        """Items were inferred; they are yet to be recorded."""

    def finished(self) -> None:
        """The batch ended and its results are on their way: there is time now.

        Nothing holds the batch any more; what goes wrong here is not its fault.
        """


Observer = Callable[[ClaimedBatch], BatchObserver]
"""Called when a batch was claimed; does not raise."""


class Pipeline:
    """Runs batches. One in a process, used by one thread.

    Parameters
    ----------
    node : Node
    denoisers : Denoisers
    observer : callable, optional
        Gives each batch a watch.
    """

    def __init__(
        self, node: Node, denoisers: Denoisers, observer: Observer = lambda _batch: BatchObserver()
    ) -> None:
        self._node = node
        self._denoisers = denoisers
        self._observer = observer
        self._lease = timedelta(seconds=node.settings.workers.lease_seconds)
        self._next = NextBatch(node.ledger)
        self._returns = Returns(node.ledger, node.settings)
        self._room = Room(node.spool, Watermark.of(node.settings.storage))
        self._waits_for_room = False
        self._log = structlog.get_logger("worker")

    def run_next(self) -> bool:
        """Do the work of the most urgent batch; returns False if none is due that runs here.

        A look that finds nothing writes nothing, nor does one while there is no room for results:
        the ledger lies on the same disk as a rule.

        Raises
        ------
        LedgerError
            As `run` does.
        StorageError
            Nobody can say whether there is room.
        """
        if self._waits_for_room:
            if self._room.lacking():
                return False
            self._waits_for_room = False
            self._log.info("spool.room", next="there is room for results again: denoising goes on")
        return self._next.run(self.run)

    def run(self, batch_id: int) -> bool:
        """Do the work of a batch; returns False if there was none to do.

        Running a batch again is harmless: items that have ended stay as they are, and an item's
        result has the same UID and, made by the same engine, the same bytes.

        Raises
        ------
        LedgerError
            The ledger is away; upkeep gives the batch out again once its lease has ended.
        """
        with self._node.ledger.write() as unit:
            batch = batches.claim(
                unit, batch_id, process_name(), self._lease, self._node.settings.workers.attempts
            )
        if batch is None:
            return False
        self._next.taken()
        started = time.monotonic()
        watch = self._observer(batch)
        try:
            self._room.require()
            lease = Lease(self._node.ledger, batch, self._lease)
            signs.own().give(signs.LONGEST)
            with lease.kept():  # an engine may be built for longer than a batch is worked on
                denoiser = self._denoisers.get(batch.model)
            again = self._stages(batch, denoiser, lease, watch)
            if again:
                self._try_again(batch, again)
                return True
        except OutOfSpace as error:
            self._wait_for_room(batch, str(error))
            return True
        except LedgerError as error:
            if is_refusal(error):
                self._log.exception("batch.refused", batch=batch_id)
                self._returns.give_back(batch, f"the ledger did not take it: {place_of(error)}")
            raise
        except ModelNotHere as error:
            self._next.leave_out(batch.model)  # for a while
            self._returns.hand_on(batch, str(error))
            return True
        except RetryLater as error:
            self._returns.wait(batch, str(error))
            return True
        except FailItem as error:
            self._returns.fail_rest(batch, error)
        except Exception as error:
            self._returns.give_back(batch, f"{place_of(error)}; the worker's log has the trace")
            raise
        with self._node.ledger.write() as unit:
            batches.finish(unit, batch)
        self._log.info(
            "batch.done", batch=batch_id, items=len(batch.items), route=batch.route,
            model=str(batch.model), seconds=round(time.monotonic() - started, 2),
        )  # fmt: skip
        signs.own().give(signs.LONGEST)  # it may build an engine
        watch.finished()
        return True

    def _stages(
        self, batch: ClaimedBatch, denoiser: Denoiser, lease: Lease, watch: BatchObserver
    ) -> list[EndedItem]:
        """Do all items of a batch; those that are to be tried again."""
        recording: list[Future[list[EndedItem]]] = []
        again: list[EndedItem] = []
        with (
            ThreadPoolExecutor(1, "load") as loader,
            ThreadPoolExecutor(1, "record") as recorder,
        ):
            for chunk in self._loaded(batch, loader):
                signs.own().give(signs.PIECE)
                self._room.require()
                inferred, ended = self._infer(batch, denoiser, chunk, lease)
                self._show(watch, inferred)
                for earlier in [each for each in recording if each.done()]:
                    recording.remove(earlier)
                    again += earlier.result()
                recording.append(recorder.submit(self._record, batch, denoiser, inferred, ended))
                if len(recording) > 1:
                    again += recording.pop(0).result()
            again += [item for each in recording for item in each.result()]
        return again

    def _show(self, watch: BatchObserver, inferred: Sequence[InferredItem]) -> None:
        try:
            watch.saw(inferred)
        except Exception:  # noqa: BLE001 -- who only looks harms nothing
            self._log.exception("watch.failed", items=len(inferred))

    def _loaded(
        self, batch: ClaimedBatch, loader: ThreadPoolExecutor
    ) -> Iterator[list[LoadedItem | EndedItem]]:
        """Chunks of loaded items; the next one is read while the engine works on this one."""
        chunks = [batch.items[i : i + CHUNK] for i in range(0, len(batch.items), CHUNK)]
        waiting: Future[list[LoadedItem | EndedItem]] | None = None
        for chunk in chunks:
            following = loader.submit(self._load_chunk, chunk)
            if waiting is not None:
                yield waiting.result()
            waiting = following
        if waiting is not None:
            yield waiting.result()

    def _load_chunk(self, items: Sequence[ClaimedItem]) -> list[LoadedItem | EndedItem]:
        return [self._load(item) for item in items]

    def _load(self, item: ClaimedItem) -> LoadedItem | EndedItem:
        try:
            with opened(self._node.spool, item.source) as file:
                return LoadedItem(item, load(file, name=item.sop_instance_uid))
        except Exception as error:  # noqa: BLE001 -- counted as the item's
            return self._of(item, error)

    def _infer(
        self,
        batch: ClaimedBatch,
        denoiser: Denoiser,
        chunk: Sequence[LoadedItem | EndedItem],
        lease: Lease,
    ) -> tuple[list[InferredItem], list[EndedItem]]:
        ended = [each for each in chunk if isinstance(each, EndedItem)]
        loaded = [each for each in chunk if isinstance(each, LoadedItem)]
        inferred: list[InferredItem] = []
        groups = (
            [loaded]
            if all(each.source.frame_count == 1 for each in loaded)
            else [[each] for each in loaded]
        )
        for group in (group for group in groups if group):
            try:
                inferred += self._infer_group(batch, denoiser, group, lease)
            except (LedgerError, DeviceLostError):
                raise
            except Exception as error:  # noqa: BLE001 -- found and counted as one item's
                if len(group) == 1:
                    ended.append(self._of(group[0].item, error))
                    continue
                for each in group:
                    try:
                        inferred += self._infer_group(batch, denoiser, [each], lease)
                    except (LedgerError, DeviceLostError):
                        raise
                    except Exception as single:  # noqa: BLE001 -- counted as the item's
                        ended.append(self._of(each.item, single))
        return inferred, ended

    def _of(self, item: ClaimedItem, error: Exception) -> EndedItem:
        if isinstance(error, NodeError):
            return EndedItem(item, error)
        return self._at_fault(item, error)

    def _at_fault(self, item: ClaimedItem, error: Exception) -> EndedItem:
        """An exception that nobody thought of is a try of the item that it came with."""
        self._log.error("item.fault", work_item=item.work_item_id, tries=item.tries, exc_info=error)
        return at_fault(item, error, self._node.settings.workers.attempts)

    def _infer_group(
        self, batch: ClaimedBatch, denoiser: Denoiser, group: Sequence[LoadedItem], lease: Lease
    ) -> list[InferredItem]:
        started = time.monotonic()
        frames = [frame for each in group for frame in each.source.frames]

        def on_progress(done: int) -> None:
            signs.own().give(signs.PIECE)
            lease.alive(done)

        pixels = denoiser.denoise(
            frames, strength=float(batch.plan["strength"]), on_progress=on_progress
        )
        seconds = (time.monotonic() - started) / len(group)
        inferred: list[InferredItem] = []
        first = 0
        for each in group:
            last = first + each.source.frame_count
            inferred.append(InferredItem(each.item, each.source, pixels[first:last], seconds))
            first = last
        return inferred

    def _record(
        self,
        batch: ClaimedBatch,
        denoiser: Denoiser,
        inferred: Sequence[InferredItem],
        already: Sequence[EndedItem],
    ) -> list[EndedItem]:
        """Encode, write and record a chunk: files first, then one transaction.

        Returns those of the items that are to be tried again.
        """
        results: list[NewResult] = []
        ended = list(already)
        for each in inferred:
            try:
                results.append(self._encode(batch, denoiser, each))
            except Exception as error:  # noqa: BLE001 -- counted as the item's
                ended.append(self._of(each.item, error))
        try:
            self._write(batch, results, ended)
        except NodeError:
            names = [result.path for result in results]
            remove_unnamed(self._node.ledger, self._node.spool, names)
            raise
        for one in ended:
            self._log.warning(
                "item.ended", work_item=one.item.work_item_id, batch=batch.batch_id,
                next=one.error.next.value, reason=str(one.error),
            )  # fmt: skip
        return [one for one in ended if one.error.next is Next.RETRY]

    def _write(
        self, batch: ClaimedBatch, results: Sequence[NewResult], ended: Sequence[EndedItem]
    ) -> None:
        with self._node.ledger.write() as unit:
            batches.held(unit, batch)
            record_results(unit, batch, results)
            for each in ended:
                if each.error.next is Next.RETRY:
                    continue
                passed = each.error.next is Next.PASS
                work_items.transition(
                    unit,
                    [each.item.work_item_id],
                    WorkEvent.PASS if passed else WorkEvent.FAIL,
                    audit=AuditEvent.WORK_PASS if passed else AuditEvent.WORK_FAIL,
                    reason=each.reason,
                    batch_id=batch.batch_id,
                )

    def _encode(self, batch: ClaimedBatch, denoiser: Denoiser, inferred: InferredItem) -> NewResult:
        parameters = parameters_of(batch, self._node.settings.workers)
        spec = result_spec(
            self._node.settings.results, batch, inferred.item, inferred.source, denoiser.engine,
            parameters=parameters,
        )  # fmt: skip
        made = encode(inferred.source, inferred.pixels, spec)
        self._room.require(len(made.data))
        path = self._node.spool.result_path(spec.sop_instance_uid)
        self._node.spool.write_atomic(path, made.data)
        return NewResult(
            work_item_id=inferred.item.work_item_id,
            sop_instance_uid=made.sop_instance_uid,
            series_uid=spec.series_instance_uid,
            sop_class_uid=made.sop_class_uid,
            transfer_syntax_uid=made.transfer_syntax_uid,
            path=self._node.spool.name(path),
            sha256=hashlib.sha256(made.data).hexdigest(),
            size=len(made.data),
            engine=record_of(denoiser),
            settings=parameters,
            seconds=inferred.seconds,
        )

    def _try_again(self, batch: ClaimedBatch, again: Sequence[EndedItem]) -> None:
        full = next((each.error for each in again if isinstance(each.error, OutOfSpace)), None)
        if full is not None and self._room.lacking():
            self._wait_for_room(batch, str(full), at_fault=returns.at_fault(again))
        else:
            self._returns.try_again(batch, again)

    def _wait_for_room(
        self, batch: ClaimedBatch, why: str, *, at_fault: Sequence[int] = ()
    ) -> None:
        """Return a batch, and take no other until there is room again."""
        self._waits_for_room = True
        self._returns.wait_for_room(batch, why, at_fault=at_fault)

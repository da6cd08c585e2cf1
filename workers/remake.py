"""Makes results again whose files came wrong, and keeps what has the bytes that were recorded."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import update

from dicom_node.errors import FailItem, NodeError
from dicom_node.ledger.audit_events import AuditEvent
from dicom_node.ledger.past import PastResult
from dicom_node.ledger.tables import ResultRow
from dicom_node.node import Node
from dicom_node.spool.room import Room, Watermark
from dicom_node.spool.stored import fault_of
from dicom_node.upkeep.retention import remove_unnamed
from workers.replay import Replayer


@dataclass(frozen=True, slots=True)
class Remade:
    """What came of results whose files were wrong or gone.

    Attributes
    ----------
    made : tuple of str
        SOP Instance UIDs of those that are there again, byte for byte.
    left : mapping of str to str
        Why the others are as they were.
    """

    made: tuple[str, ...]
    left: Mapping[str, str]


def remake(node: Node, items: Sequence[int], who: str) -> Remade:
    """Make the results of work items again where their files do not hold what was made.

    What came wrong stays in the spool. A result comes out with other bytes where the engine, its
    library or the device is another than then, or the settings of results are; it is not kept.

    Parameters
    ----------
    items : sequence of int
        Ids of work items; those without a result, or whose bytes are forgotten, are left alone.
    who : str
        Who asks.

    Raises
    ------
    SpoolAway
        Nothing is known of files now.
    LedgerError
        The ledger does not answer.
    """
    wanted: dict[int, dict[int, str]] = {}
    for batch_id, work_item_id, result in node.wrong_results(items):
        wanted.setdefault(batch_id, {})[work_item_id] = result.sop_instance_uid
    keeper = _Keeper(node, who)
    left: dict[str, str] = {}
    with Replayer(node, keeper.keep) as replayer:
        for batch_id, results in wanted.items():
            try:
                said = {each.result: each.said for each in
                        replayer.replay({batch_id: list(results)}, who)}  # fmt: skip
            except FailItem as error:
                said = dict.fromkeys(results.values(), str(error))
            left |= {uid: why for uid, why in said.items() if uid not in keeper.made}
    return Remade(tuple(keeper.made), left | keeper.refused)


class _Keeper:
    """Keeps what was made again, and the rows' names of it."""

    def __init__(self, node: Node, who: str) -> None:
        self.made: list[str] = []
        self.refused: dict[str, str] = {}
        self._node = node
        self._who = who
        self._room = Room(node.spool, Watermark.of(node.settings.storage))

    def keep(self, each: PastResult, data: bytes) -> None:
        """Keep bytes that are those of then, if the row still names the file that came wrong."""
        uid = each.sop_instance_uid
        if not fault_of(self._node.spool, each.result):
            return  # beside one that came wrong, it went through the engine with it
        try:
            self._room.require(len(data))
            self._store(each, data)
        except NodeError as error:
            self.refused[uid] = str(error)
        else:
            self.made.append(uid)

    def _store(self, each: PastResult, data: bytes) -> None:
        storage = self._node.spool
        path = storage.result_path(each.sop_instance_uid)
        storage.write_atomic(path, data)
        new = replace(each.result, path=storage.name(path))
        try:
            with self._node.ledger.write() as unit:
                named = unit.connection.execute(
                    update(ResultRow)
                    .where(ResultRow.work_item_id == each.item.work_item_id)
                    .where(ResultRow.path == each.result.path)
                    .where(ResultRow.sha256 == hashlib.sha256(data).hexdigest())
                    .values(path=new.path)
                )
                if not named.rowcount:
                    raise FailItem("its row changed meanwhile: it was forgotten, or made again")
                unit.record(
                    AuditEvent.RESULT_REMADE,
                    {"result": each.sop_instance_uid, "who": self._who},
                    instance_id=each.instance_id,
                    work_item_id=each.item.work_item_id,
                )
        finally:
            remove_unnamed(self._node.ledger, storage, [storage.name(path)])

"""Moving an alias and retiring a version: in the ledger, then in the history beside the versions.

The ledger is what counts. The history is read only when a ledger was lost and `dicom-node model
index` makes it again from the versions that are there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import structlog

from dicom_node.ledger import alias_moves, model_versions
from dicom_node.node import Node
from model_store.errors import ModelStoreError
from model_store.ref import ModelName
from model_store.registry.records import Move, RegisteredVersion

RETIRED = "retired"
"""Key of a retirement in the history; the other entries are moves."""


def move_alias(
    node: Node,
    alias: ModelName,
    target: ModelName | None,
    *,
    expected: ModelName | None,
    action: alias_moves.Action,
    who: str,
    why: str,
    forced: bool = False,
    gates: Iterable[Mapping[str, Any]] = (),
    share: float | None = None,
) -> Move:
    """Let an alias stand for another version; see `dicom_node.ledger.alias_moves.move`.

    The target is registered, if it was not, in the same transaction.

    Raises
    ------
    AliasMoved
        Somebody else moved it meanwhile; nothing was changed.
    VersionRefused, VersionTaken
        The target is retired, or registered with other bytes.
    ModelStoreError
        The target is not there, or not whole.
    """
    found = None if target is None else node.models.found(node.models.version(target))
    with node.ledger.write() as unit:
        if found is not None:
            model_versions.index(unit, found, who)
        made = alias_moves.move(
            unit, alias, target, expected=expected, action=action, who=who, why=why,
            forced=forced, gates=gates, share=share,
        )  # fmt: skip
    keep(node, made.entry())
    return made


def retire_version(node: Node, name: ModelName, who: str, why: str) -> RegisteredVersion:
    """Let a version take no new work.

    Raises
    ------
    VersionRefused
        It is not registered, or an alias stands for it.
    """
    with node.ledger.write() as unit:
        made = model_versions.retire(unit, name, who, why)
    keep(node, retirement(made))
    return made


def retirement(row: RegisteredVersion) -> dict[str, Any]:
    """The retirement of a version as an entry of the history."""
    at = None if row.retired_at is None else row.retired_at.isoformat()
    return {RETIRED: str(row.target), "at": at, "who": row.retired_by, "why": row.retired_why}


def restore(node: Node, entries: Iterable[Mapping[str, Any]]) -> tuple[int, int]:
    """Put back what a history says and the ledger does not know.

    Returns
    -------
    tuple of int
        Moves of aliases and retirements that were put back.

    Raises
    ------
    AliasMoved
        The ledger has other moves than the history; nothing was restored.
    ValueError
        An entry cannot be read; the message says which.
    """
    moves, retired = [], []
    for number, entry in enumerate(entries, 1):
        try:
            if RETIRED in entry:
                at = datetime.fromisoformat(entry["at"])
                retired.append((ModelName.parse(entry[RETIRED]), entry["who"], entry["why"], at))
            else:
                moves.append(Move.of_entry(entry))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"entry {number} of the history cannot be read: {error!r}") from error
    count = 0
    with node.ledger.write() as unit:
        moved = alias_moves.restore(unit, moves)
        known = model_versions.indexed(unit.session)
        for name, who, why, at in retired:
            row = known.get(name)
            if row is not None and row.retired_at is None:
                model_versions.retire(unit, name, who, why, at=at)
                count += 1
    return moved, count


def unwritten(node: Node) -> list[dict[str, Any]]:
    """What the ledger knows and the history beside the versions lacks, oldest first."""
    with node.ledger.read() as session:
        moves = alias_moves.history(session)
        rows = model_versions.indexed(session).values()
    retired = [retirement(row) for row in rows if row.retired_at is not None]
    there = node.models.content.history()
    lacking = [entry for entry in (*(move.entry() for move in moves), *retired)
               if not any(entry.items() <= other.items() for other in there)]  # fmt: skip
    return sorted(lacking, key=lambda entry: str(entry["at"]))


def keep(node: Node, entry: Mapping[str, Any]) -> None:
    """Write an entry of the history; that it could not be written is logged and undoes nothing."""
    try:
        node.models.content.append_history(dict(entry))
    except ModelStoreError as error:
        structlog.get_logger("models").warning(
            "history.not_written", why=str(error), remedy="dicom-node model index"
        )

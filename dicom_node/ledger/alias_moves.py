"""Moves of aliases in the ledger: what an alias stands for, and stood for, and who said so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from dicom_node.errors import AliasMoved, VersionRefused
from dicom_node.ledger.audit_events import AuditEvent
from dicom_node.ledger.model_rows import adding, version_row
from dicom_node.ledger.tables import AliasMoveRow
from dicom_node.ledger.unit_of_work import UnitOfWork
from model_store.ref import ModelName
from model_store.registry.records import Move

Action: TypeAlias = Literal["promote", "rollback", "shadow", "remove", "set"]


def move(
    unit: UnitOfWork,
    alias: ModelName,
    target: ModelName | None,
    *,
    expected: ModelName | None,
    action: Action,
    who: str,
    why: str,
    forced: bool = False,
    gates: Iterable[Mapping[str, Any]] = (),
    share: float | None = None,
) -> Move:
    """Let an alias stand for another version from now on.

    Parameters
    ----------
    alias : ModelName
        ``label@tag``.
    target : ModelName or None
        ``name@version``; None removes the alias.
    expected : ModelName or None
        What the caller saw it stand for. For an alias that was never moved this is what the store's
        own ``aliases.toml`` says, and becomes the first `Move.previous`.
    action, who, why, forced, gates, share
        See `Move`.

    Raises
    ------
    AliasMoved
        It does not stand for `expected` any more, or somebody else moves it at this moment.
    VersionRefused
        The target is retired.
    ValueError
        `alias` is a version, or `target` is none.
    """
    if alias.is_version or (target is not None and not target.is_version):
        raise ValueError(f"{alias} must be an alias and {target} a version")
    row = None if target is None else version_row(unit, target, share=True)
    if row is not None and row.retired_at is not None:
        raise VersionRefused(
            f"{alias} cannot be moved to {target}: it was retired on {row.retired_at:%Y-%m-%d} by "
            f"{row.retired_by}: {row.retired_why}"
        )
    last = current(unit.session, alias).get(alias)
    stands_for = expected if last is None else last.target
    if stands_for != expected:
        raise _moved(alias, last)
    made = Move(
        alias, 1 if last is None else last.serial + 1, target, stands_for, action, unit.at,
        who, why, forced, tuple(dict(gate) for gate in gates), share,
    )  # fmt: skip
    if not _insert(unit, made):
        raise _moved(alias, None)
    unit.record(AuditEvent.ALIAS_FORCED if forced else AuditEvent.ALIAS_MOVED, made.entry())
    return made


def restore(unit: UnitOfWork, moves: Sequence[Move]) -> int:
    """Put back moves that the ledger does not have, as they were; returns how many.

    Raises
    ------
    AliasMoved
        The ledger has another move with the alias and serial of one of them.
    """
    count = 0
    for each in sorted(moves, key=lambda one: (str(one.alias), one.serial)):
        if _insert(unit, each):
            count += 1
            unit.record(AuditEvent.ALIAS_RESTORED, each.entry())
            continue
        there = history(unit.session, each.alias)
        if each not in there:
            raise AliasMoved(
                f"{each.alias}: move {each.serial} of the history ({each.target or 'removed'} by "
                f"{each.who}) is not the one in the ledger; nothing was restored"
            )
    return count


def current(session: Session, alias: ModelName | None = None) -> dict[ModelName, Move]:
    """The last move of every alias, or of one; its target is None if the alias was removed."""
    last = select(
        AliasMoveRow.name, AliasMoveRow.alias, func.max(AliasMoveRow.serial).label("serial")
    ).group_by(AliasMoveRow.name, AliasMoveRow.alias)
    if alias is not None:
        last = last.where(AliasMoveRow.name == alias.name, AliasMoveRow.alias == alias.tag)
    found = last.subquery()
    rows = session.execute(
        select(AliasMoveRow)
        .join(
            found,
            (AliasMoveRow.name == found.c.name)
            & (AliasMoveRow.alias == found.c.alias)
            & (AliasMoveRow.serial == found.c.serial),
        )
        .order_by(AliasMoveRow.name, AliasMoveRow.alias)
    ).scalars()
    return {each.alias: each for each in map(_move, rows)}


def history(
    session: Session, alias: ModelName | None = None, name: ModelName | None = None
) -> tuple[Move, ...]:
    """All moves, oldest first; of one alias, or those to and from one version."""
    statement = select(AliasMoveRow).order_by(AliasMoveRow.at, AliasMoveRow.id)
    if alias is not None:
        statement = statement.where(
            AliasMoveRow.name == alias.name, AliasMoveRow.alias == alias.tag
        ).order_by(None).order_by(AliasMoveRow.serial)  # fmt: skip
    if name is not None:
        text = str(name)
        statement = statement.where((AliasMoveRow.target == text) | (AliasMoveRow.previous == text))
    return tuple(map(_move, session.execute(statement).scalars()))


def _insert(unit: UnitOfWork, made: Move) -> bool:
    """Add a move; False if another one has its serial."""
    values = made.entry() | {
        "name": made.alias.name, "alias": made.alias.tag, "at": made.at,
    }  # fmt: skip
    found = unit.connection.execute(
        adding(unit, AliasMoveRow)
        .values(**values)
        .on_conflict_do_nothing(index_elements=["name", "alias", "serial"])
        .returning(AliasMoveRow.id)
    ).first()
    return found is not None


def _move(row: AliasMoveRow) -> Move:
    return Move(
        ModelName(row.name, row.alias), row.serial, _name(row.target), _name(row.previous),
        row.action, row.at, row.who, row.why, row.forced, tuple(row.gates), row.share,
    )  # fmt: skip


def _moved(alias: ModelName, by: Move | None) -> AliasMoved:
    who = "somebody else" if by is None else f"{by.who} at {by.at:%Y-%m-%d %H:%M:%S} UTC"
    what = "" if by is None else f" and stands for {by.target or 'nothing'} ({by.why})"
    return AliasMoved(
        f"{alias} was moved by {who}{what}; nothing was changed: look at "
        f"'dicom-node model history {alias}' and decide again"
    )


def _name(text: str | None) -> ModelName | None:
    return None if text is None else ModelName.parse(text)

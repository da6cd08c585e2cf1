"""The model registry in the ledger: versions, aliases and their history, certificates."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any, Literal, TypeAlias

from sqlalchemy import func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from dicom_node.domain.registry import Certificate, Indexed, Move, before, replay
from dicom_node.errors import AliasMoved, VersionRefused, VersionTaken
from dicom_node.ledger.audit_events import AuditEvent
from dicom_node.ledger.states import BatchState
from dicom_node.ledger.tables import (
    AliasMoveRow,
    AuditRow,
    Base,
    BatchRow,
    CertificateRow,
    ModelVersionRow,
    ResultRow,
)
from dicom_node.ledger.unit_of_work import UnitOfWork
from model_store.ref import ModelName
from model_store.registry import ModelVersion
from model_store.trust.signature import manifest_bytes

Origin: TypeAlias = Literal["package", "store"]
Action: TypeAlias = Literal["promote", "rollback", "shadow", "remove", "set"]

__all__ = [
    "Action",
    "Certificate",
    "Found",
    "Indexed",
    "Move",
    "Origin",
    "add_certificate",
    "aliases",
    "before",
    "certificates",
    "delete",
    "deletion",
    "history",
    "index",
    "indexed",
    "move",
    "references",
    "replay",
    "restore_moves",
    "retire",
]


# --- versions ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Found:
    """A version as it was found on disk, read whole before the ledger is locked for it."""

    version: ModelVersion
    origin: Origin
    signed_by: str | None
    manifest_sha256: str

    @classmethod
    def read(cls, version: ModelVersion, origin: Origin, signed_by: str | None) -> Found:
        """Read the manifest again.

        Raises
        ------
        SignatureError
            The manifest changed on disk since `version` was opened.
        """
        manifest = hashlib.sha256(manifest_bytes(version)).hexdigest()
        return cls(version, origin, signed_by, manifest)


def index(unit: UnitOfWork, found: Found, who: str) -> Indexed:
    """Register a version; one that is registered already is left as it is.

    A release of the package may come with another manifest to the same network (a figure that was
    measured since); of such a version the ledger takes over the manifest's hash.

    Raises
    ------
    VersionTaken
        Name and version are registered with other bytes.
    """
    version, origin, signed_by = found.version, found.origin, found.signed_by
    ref, manifest = version.ref, found.manifest_sha256
    new = unit.connection.execute(
        _adding(unit, ModelVersionRow)
        .values(
            name=ref.name, version=ref.version, onnx_sha256=ref.sha256, manifest_sha256=manifest,
            system=version.manifest.system, origin=origin, signed_by=signed_by,
            added_at=unit.at, added_by=who,
        )
        .on_conflict_do_nothing(index_elements=["name", "version"])
        .returning(ModelVersionRow.id)
    ).first()  # fmt: skip
    row = _row(unit, ModelName(ref.name, ref.version))
    if row is None:
        raise VersionTaken(f"{ref} was removed from the ledger while it was registered; try again")
    detail = {"version": str(ref), "sha256": ref.sha256, "manifest": manifest, "origin": origin,
              "who": who}  # fmt: skip
    if new is not None:
        unit.record(AuditEvent.MODEL_ADDED, detail | {"signed_by": signed_by})
    elif row.onnx_sha256 != ref.sha256 or (manifest != row.manifest_sha256 and origin == "store"):
        what = "network" if row.onnx_sha256 != ref.sha256 else "manifest"
        raise VersionTaken(
            f"{ref} was registered on {row.added_at:%Y-%m-%d} by {row.added_by} with another "
            f"{what}; a version is never given twice: release what is new under a new version"
        )
    elif manifest != row.manifest_sha256:
        row.manifest_sha256 = manifest
        unit.record(AuditEvent.MODEL_CHANGED, detail)
    unit.session.flush()
    return _indexed(row)


def indexed(session: Session) -> dict[ModelName, Indexed]:
    """Every version that was ever registered, by ``name@version``."""
    rows = session.execute(
        select(ModelVersionRow).order_by(ModelVersionRow.name, ModelVersionRow.id)
    ).scalars()
    return {ModelName(row.name, row.version): _indexed(row) for row in rows}


def retire(
    unit: UnitOfWork, name: ModelName, who: str, why: str, *, at: datetime | None = None
) -> Indexed:
    """Let a version take no new work; it stays readable. One that is retired stays as it is.

    Parameters
    ----------
    at : datetime, optional
        When it was, for what is restored from a history; the time of the transaction if left out.

    Raises
    ------
    VersionRefused
        It is not registered, or an alias stands for it.
    """
    row = _row(unit, name, lock=True)
    if row is None:
        raise VersionRefused(f"{name} is not registered; 'dicom-node model list' shows what is")
    if row.retired_at is None:
        named = [str(alias) for alias, move in aliases(unit.session).items() if move.target == name]
        if named:
            raise VersionRefused(
                f"{name} cannot be retired: {', '.join(sorted(named))} stands for it; promote "
                "another version, roll back, or remove the alias first"
            )
        row.retired_at, row.retired_by, row.retired_why = at or unit.at, who, why
        unit.session.flush()
        unit.record(AuditEvent.MODEL_RETIRED, {"version": str(name), "who": who, "why": why})
    return _indexed(row)


def delete(unit: UnitOfWork, name: ModelName, who: str, why: str) -> Indexed:
    """Note that a version's files are deleted, and retire it; its name stays taken.

    Raises
    ------
    VersionRefused
        It is not registered, or an alias stands for it.
    """
    found = retire(unit, name, who, why)
    unit.record(AuditEvent.MODEL_DELETED, {"version": str(name), "who": who, "why": why})
    return found


def deletion(session: Session, name: ModelName) -> tuple[datetime, str, str] | None:
    """When a version's files were last deleted, by whom and why; None if they never were."""
    rows = session.execute(
        select(AuditRow.at, AuditRow.detail)
        .where(AuditRow.event == AuditEvent.MODEL_DELETED.value)
        .order_by(AuditRow.id.desc())
    )
    return next(
        (
            (at, str(detail["who"]), str(detail["why"]))
            for at, detail in rows
            if detail is not None and detail["version"] == str(name)
        ),
        None,
    )


def references(session: Session, name: ModelName) -> dict[str, Any]:
    """What still names a version.

    Returns
    -------
    dict
        ``aliases``: texts of those that stand for it; ``results``: number of results that it made;
        ``batches``: number of batches that are yet to be worked with it.
    """
    return {
        "aliases": sorted(str(a) for a, move in aliases(session).items() if move.target == name),
        "results": session.execute(
            select(func.count())
            .select_from(ResultRow)
            .where(ResultRow.model_name == name.name, ResultRow.model_version == name.tag)
        ).scalar_one(),
        "batches": session.execute(
            select(func.count())
            .select_from(BatchRow)
            .where(BatchRow.model_name == name.name, BatchRow.model_version == name.tag)
            .where(BatchRow.state != BatchState.DONE.value)
        ).scalar_one(),
    }


# --- aliases -------------------------------------------------------------------------------------


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
    row = None if target is None else _row(unit, target, share=True)
    if row is not None and row.retired_at is not None:
        raise VersionRefused(
            f"{alias} cannot be moved to {target}: it was retired on {row.retired_at:%Y-%m-%d} by "
            f"{row.retired_by}: {row.retired_why}"
        )
    last = aliases(unit.session, alias).get(alias)
    current = expected if last is None else last.target
    if current != expected:
        raise _moved(alias, last)
    made = Move(
        alias, 1 if last is None else last.serial + 1, target, current, action, unit.at,
        who, why, forced, tuple(dict(gate) for gate in gates), share,
    )  # fmt: skip
    if not _insert(unit, made):
        raise _moved(alias, None)
    unit.record(AuditEvent.ALIAS_FORCED if forced else AuditEvent.ALIAS_MOVED, made.entry())
    return made


def restore_moves(unit: UnitOfWork, moves: Sequence[Move]) -> int:
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


def aliases(session: Session, alias: ModelName | None = None) -> dict[ModelName, Move]:
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


# --- certificates --------------------------------------------------------------------------------


def add_certificate(unit: UnitOfWork, certificate: Certificate) -> None:
    """Keep a certificate."""
    values = asdict(certificate)
    unit.session.add(CertificateRow(**values | {"library": dict(certificate.library)}))
    unit.session.flush()
    unit.record(
        AuditEvent.MODEL_CERTIFIED,
        {key: value for key, value in values.items() if key != "at"},
    )


def certificates(session: Session, name: ModelName | None = None) -> tuple[Certificate, ...]:
    """Certificates, newest first; of one version, or all."""
    statement = select(CertificateRow).order_by(CertificateRow.at.desc(), CertificateRow.id.desc())
    if name is not None:
        statement = statement.where(
            CertificateRow.name == name.name, CertificateRow.version == name.tag
        )
    names = [field.name for field in fields(Certificate)]
    return tuple(
        Certificate(**{key: getattr(row, key) for key in names})
        for row in session.execute(statement).scalars()
    )


# --- rows ----------------------------------------------------------------------------------------


def _row(
    unit: UnitOfWork, name: ModelName, *, lock: bool = False, share: bool = False
) -> ModelVersionRow | None:
    statement = select(ModelVersionRow).where(
        ModelVersionRow.name == name.name, ModelVersionRow.version == name.tag
    )
    if lock or share:
        statement = statement.with_for_update(read=share)
    return unit.session.execute(
        statement.execution_options(populate_existing=True)
    ).scalar_one_or_none()


def _indexed(row: ModelVersionRow) -> Indexed:
    return Indexed(**{field.name: getattr(row, field.name) for field in fields(Indexed)})


def _insert(unit: UnitOfWork, made: Move) -> bool:
    """Add a move; False if another one has its serial."""
    values = made.entry() | {
        "name": made.alias.name, "alias": made.alias.tag, "at": made.at,
    }  # fmt: skip
    found = unit.connection.execute(
        _adding(unit, AliasMoveRow)
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


def _adding(unit: UnitOfWork, row: type[Base]) -> sqlite.Insert | postgresql.Insert:
    """INSERT of a kind that can leave a row that is there already as it is."""
    if unit.connection.dialect.name == "postgresql":
        return postgresql.insert(row)
    return sqlite.insert(row)


def _name(text: str | None) -> ModelName | None:
    return None if text is None else ModelName.parse(text)

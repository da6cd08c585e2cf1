"""Model versions in the ledger: which were registered, retired and deleted, and who said so."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Literal, TypeAlias

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from dicom_node.errors import VersionRefused, VersionTaken
from dicom_node.ledger import alias_moves
from dicom_node.ledger.audit_events import AuditEvent
from dicom_node.ledger.model_rows import adding, version_row
from dicom_node.ledger.states import BatchState
from dicom_node.ledger.tables import AuditRow, BatchRow, ModelVersionRow, ResultRow
from dicom_node.ledger.unit_of_work import UnitOfWork
from model_store.ref import ModelName
from model_store.registry.records import RegisteredVersion
from model_store.store import ModelVersion
from model_store.trust.signature import manifest_sha256

Origin: TypeAlias = Literal["package", "store"]


@dataclass(frozen=True, slots=True)
class VersionOnDisk:
    """A version as it was found on disk, read whole before the ledger is locked for it."""

    version: ModelVersion
    origin: Origin
    signed_by: str | None
    manifest_sha256: str

    @classmethod
    def read(cls, version: ModelVersion, origin: Origin, signed_by: str | None) -> VersionOnDisk:
        """Read the manifest again.

        Raises
        ------
        SignatureError
            The manifest changed on disk since `version` was opened.
        """
        return cls(version, origin, signed_by, manifest_sha256(version))


def index(unit: UnitOfWork, found: VersionOnDisk, who: str) -> RegisteredVersion:
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
        adding(unit, ModelVersionRow)
        .values(
            name=ref.name, version=ref.version, onnx_sha256=ref.sha256, manifest_sha256=manifest,
            system=version.manifest.system, origin=origin, signed_by=signed_by,
            added_at=unit.at, added_by=who,
        )
        .on_conflict_do_nothing(index_elements=["name", "version"])
        .returning(ModelVersionRow.id)
    ).first()  # fmt: skip
    row = version_row(unit, ModelName(ref.name, ref.version))
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


def indexed(session: Session) -> dict[ModelName, RegisteredVersion]:
    """Every version that was ever registered, by ``name@version``."""
    rows = session.execute(
        select(ModelVersionRow).order_by(ModelVersionRow.name, ModelVersionRow.id)
    ).scalars()
    return {ModelName(row.name, row.version): _indexed(row) for row in rows}


def retire(
    unit: UnitOfWork, name: ModelName, who: str, why: str, *, at: datetime | None = None
) -> RegisteredVersion:
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
    row = version_row(unit, name, lock=True)
    if row is None:
        raise VersionRefused(f"{name} is not registered; 'dicom-node model list' shows what is")
    if row.retired_at is None:
        named = _aliases_of(unit.session, name)
        if named:
            raise VersionRefused(
                f"{name} cannot be retired: {', '.join(named)} stands for it; promote "
                "another version, roll back, or remove the alias first"
            )
        row.retired_at, row.retired_by, row.retired_why = at or unit.at, who, why
        unit.session.flush()
        unit.record(AuditEvent.MODEL_RETIRED, {"version": str(name), "who": who, "why": why})
    return _indexed(row)


def delete(unit: UnitOfWork, name: ModelName, who: str, why: str) -> RegisteredVersion:
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
        "aliases": _aliases_of(session, name),
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


def _aliases_of(session: Session, name: ModelName) -> list[str]:
    """Texts of the aliases that stand for a version."""
    moves = alias_moves.current(session)
    return sorted(str(alias) for alias, move in moves.items() if move.target == name)


def _indexed(row: ModelVersionRow) -> RegisteredVersion:
    return RegisteredVersion(
        **{field.name: getattr(row, field.name) for field in fields(RegisteredVersion)}
    )

"""Tables of the ledger, the one source of truth."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from dicom_node.ledger.aware_date_time import AwareDateTime
from dicom_node.ledger.document import Document

UID = String(64)
Key = BigInteger().with_variant(Integer, "sqlite")


def _where_known(name: str, column: str) -> Index:
    """Index without the rows whose `column` is empty, as it is in whatever is just received."""
    known = text(f"{column} IS NOT NULL")
    return Index(name, column, sqlite_where=known, postgresql_where=known)


def _where_due(name: str, *columns: str) -> Index:
    """Index of the rows whose turn is sought; what is done, the most by far, is not in it."""
    due = text("state = 'due'")
    return Index(name, *columns, sqlite_where=due, postgresql_where=due)


class Base(DeclarativeBase):
    """Declarative base with named constraints, so that migrations can name them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class AssociationRow(Base):
    """One association that a peer opened with the node."""

    __tablename__ = "association"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    calling_ae_title: Mapped[str] = mapped_column(String(16))
    called_ae_title: Mapped[str] = mapped_column(String(16))
    address: Mapped[str] = mapped_column(String(64))
    intake: Mapped[str] = mapped_column(String(128))
    opened_at: Mapped[datetime] = mapped_column(AwareDateTime)
    closed_at: Mapped[datetime | None] = mapped_column(AwareDateTime)
    outcome: Mapped[str | None] = mapped_column(String(32))


class SpoolRow(Base):
    """The spool that the ledger's files are in, told by the marker in its root."""

    __tablename__ = "spool"

    marker: Mapped[str] = mapped_column(String(32), primary_key=True)
    made_at: Mapped[datetime] = mapped_column(AwareDateTime)


class InstanceRow(Base):
    """One instance as it was received; its bytes are in the spool."""

    __tablename__ = "instance"
    __table_args__ = (
        UniqueConstraint("sop_instance_uid", "sha256"),
        # Of several intakes that receive a UID at once, one takes it; the others have a conflict.
        Index(
            "uq_instance_taken",
            "sop_instance_uid",
            unique=True,
            sqlite_where=text("state <> 'conflict'"),
            postgresql_where=text("state <> 'conflict'"),
        ),
        Index("ix_instance_state_id", "state", "id"),
        _where_known("ix_instance_study_uid", "study_uid"),
        _where_known("ix_instance_series_uid", "series_uid"),
    )

    id: Mapped[int] = mapped_column(Key, primary_key=True)
    sop_instance_uid: Mapped[str] = mapped_column(UID)
    sop_class_uid: Mapped[str] = mapped_column(UID)
    transfer_syntax_uid: Mapped[str] = mapped_column(UID)
    sha256: Mapped[str] = mapped_column(String(64))
    size: Mapped[int] = mapped_column(BigInteger)
    path: Mapped[str | None] = mapped_column(Text)
    association_id: Mapped[str] = mapped_column(ForeignKey("association.id"), index=True)
    received_at: Mapped[datetime] = mapped_column(AwareDateTime, index=True)
    state: Mapped[str] = mapped_column(String(16))
    tries: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    worker: Mapped[str | None] = mapped_column(String(128))
    lease_until: Mapped[datetime | None] = mapped_column(AwareDateTime)
    study_uid: Mapped[str | None] = mapped_column(UID)
    series_uid: Mapped[str | None] = mapped_column(UID)
    modality: Mapped[str | None] = mapped_column(String(16))


class BatchRow(Base):
    """Work items of one series and route that are executed together.

    `arrival` orders series by when they arrived: it is the id of a series' first batch.
    """

    __tablename__ = "batch"
    __table_args__ = (
        Index("ix_batch_state_id", "state", "id"),
        _where_due("ix_batch_due", "due_at", "id"),
        _where_due("ix_batch_arrival", "arrival", "id"),
    )

    id: Mapped[int] = mapped_column(Key, primary_key=True)
    series_uid: Mapped[str] = mapped_column(UID, index=True)
    arrival: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    route: Mapped[str] = mapped_column(String(64))
    model_name: Mapped[str] = mapped_column(String(64))
    model_version: Mapped[str] = mapped_column(String(64))
    model_sha256: Mapped[str] = mapped_column(String(64))
    plan: Mapped[dict[str, Any]] = mapped_column(Document)
    plan_sha256: Mapped[str | None] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(16))
    count: Mapped[int] = mapped_column(Integer, default=0)
    size: Mapped[int] = mapped_column(BigInteger, default=0)
    association_id: Mapped[str] = mapped_column(String(32))
    opened_at: Mapped[datetime] = mapped_column(AwareDateTime)
    last_item_at: Mapped[datetime] = mapped_column(AwareDateTime)
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    due_at: Mapped[datetime | None] = mapped_column(AwareDateTime)
    lease_until: Mapped[datetime | None] = mapped_column(AwareDateTime)
    worker: Mapped[str | None] = mapped_column(String(128))
    done_at: Mapped[datetime | None] = mapped_column(AwareDateTime)


class WorkItemRow(Base):
    """One instance x one route: the unit of account."""

    __tablename__ = "work_item"
    __table_args__ = (
        UniqueConstraint("instance_id", "route"),
        Index("ix_work_item_batch_state", "batch_id", "state"),
    )

    id: Mapped[int] = mapped_column(Key, primary_key=True)
    instance_id: Mapped[int] = mapped_column(ForeignKey("instance.id"))
    route: Mapped[str] = mapped_column(String(64))
    batch_id: Mapped[int | None] = mapped_column(ForeignKey("batch.id"))
    state: Mapped[str] = mapped_column(String(16), index=True)
    tries: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    reason: Mapped[str | None] = mapped_column(Text)
    planned_at: Mapped[datetime] = mapped_column(AwareDateTime)
    ended_at: Mapped[datetime | None] = mapped_column(AwareDateTime)


class ResultRow(Base):
    """The encoded object of one work item; written once, its bytes never rewritten."""

    __tablename__ = "result"

    id: Mapped[int] = mapped_column(Key, primary_key=True)
    work_item_id: Mapped[int] = mapped_column(ForeignKey("work_item.id"), unique=True)
    sop_instance_uid: Mapped[str] = mapped_column(UID, index=True)
    series_uid: Mapped[str] = mapped_column(UID)
    sop_class_uid: Mapped[str] = mapped_column(UID)
    transfer_syntax_uid: Mapped[str] = mapped_column(UID)
    path: Mapped[str | None] = mapped_column(Text)
    sha256: Mapped[str] = mapped_column(String(64))
    size: Mapped[int] = mapped_column(BigInteger)
    model_name: Mapped[str] = mapped_column(String(64))
    model_version: Mapped[str] = mapped_column(String(64))
    model_sha256: Mapped[str] = mapped_column(String(64))
    engine: Mapped[dict[str, Any]] = mapped_column(Document)
    settings: Mapped[dict[str, Any]] = mapped_column(Document)
    seconds: Mapped[float] = mapped_column(Float)
    made_at: Mapped[datetime] = mapped_column(AwareDateTime)


class ParcelRow(Base):
    """The deliveries of one batch to one destination, sent over one association.

    `arrival` is its batch's.
    """

    __tablename__ = "parcel"
    __table_args__ = (
        UniqueConstraint("batch_id", "destination"),
        Index("ix_parcel_state_due", "state", "due_at"),
        _where_due("ix_parcel_due", "destination", "due_at", "id"),
        _where_due("ix_parcel_arrival", "destination", "arrival", "id"),
        Index(
            "ix_parcel_sending",
            "destination",
            sqlite_where=text("state = 'sending'"),
            postgresql_where=text("state = 'sending'"),
        ),
    )

    id: Mapped[int] = mapped_column(Key, primary_key=True)
    batch_id: Mapped[int] = mapped_column(ForeignKey("batch.id"))
    destination: Mapped[str] = mapped_column(String(64))
    arrival: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    state: Mapped[str] = mapped_column(String(16))
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    due_at: Mapped[datetime | None] = mapped_column(AwareDateTime)
    lease_until: Mapped[datetime | None] = mapped_column(AwareDateTime)
    worker: Mapped[str | None] = mapped_column(String(128))
    first_due_at: Mapped[datetime | None] = mapped_column(AwareDateTime)
    losses: Mapped[int] = mapped_column(Integer, default=0, server_default="0")


class DeliveryRow(Base):
    """One result x one destination."""

    __tablename__ = "delivery"
    __table_args__ = (
        UniqueConstraint("result_id", "destination"),
        Index("ix_delivery_parcel_state", "parcel_id", "state"),
    )

    id: Mapped[int] = mapped_column(Key, primary_key=True)
    result_id: Mapped[int] = mapped_column(ForeignKey("result.id"))
    parcel_id: Mapped[int] = mapped_column(ForeignKey("parcel.id"))
    destination: Mapped[str] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(16), index=True)
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    losses: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    status: Mapped[int | None] = mapped_column(Integer)
    message: Mapped[str | None] = mapped_column(Text)
    answered_at: Mapped[datetime | None] = mapped_column(AwareDateTime)


class AuditRow(Base):
    """One thing that happened; rows are only ever added."""

    __tablename__ = "audit"
    __table_args__ = (_where_known("ix_audit_work_item_id", "work_item_id"),)

    id: Mapped[int] = mapped_column(Key, primary_key=True)
    at: Mapped[datetime] = mapped_column(AwareDateTime, index=True)
    event: Mapped[str] = mapped_column(String(64))
    association_id: Mapped[str | None] = mapped_column(String(32))
    instance_id: Mapped[int | None] = mapped_column(BigInteger, index=True)
    work_item_id: Mapped[int | None] = mapped_column(BigInteger)
    delivery_id: Mapped[int | None] = mapped_column(BigInteger)
    batch_id: Mapped[int | None] = mapped_column(BigInteger)
    detail: Mapped[dict[str, Any] | None] = mapped_column(Document(optional=True))


class ProcessRow(Base):
    """One process of the node: its loop went round at `sign_at`, and does so `within` seconds."""

    __tablename__ = "process"

    name: Mapped[str] = mapped_column(String(128), primary_key=True)
    role: Mapped[str] = mapped_column(String(16))
    place: Mapped[str] = mapped_column(String(255))
    host: Mapped[str] = mapped_column(String(64))
    pid: Mapped[int] = mapped_column(Integer)
    version: Mapped[str] = mapped_column(String(32))
    started_at: Mapped[datetime] = mapped_column(AwareDateTime)
    sign_at: Mapped[datetime] = mapped_column(AwareDateTime)
    within: Mapped[float] = mapped_column(Float)
    written_at: Mapped[datetime] = mapped_column(AwareDateTime)


class ModelVersionRow(Base):
    """One model version that was ever registered; the row stays, so a name is never reused."""

    __tablename__ = "model_version"
    __table_args__ = (UniqueConstraint("name", "version"),)

    id: Mapped[int] = mapped_column(Key, primary_key=True)
    name: Mapped[str] = mapped_column(String(64))
    version: Mapped[str] = mapped_column(String(64))
    onnx_sha256: Mapped[str] = mapped_column(String(64))
    manifest_sha256: Mapped[str] = mapped_column(String(64))
    system: Mapped[str] = mapped_column(String(32))
    origin: Mapped[str] = mapped_column(String(16))
    signed_by: Mapped[str | None] = mapped_column(String(64))
    added_at: Mapped[datetime] = mapped_column(AwareDateTime)
    added_by: Mapped[str] = mapped_column(String(128))
    retired_at: Mapped[datetime | None] = mapped_column(AwareDateTime)
    retired_by: Mapped[str | None] = mapped_column(String(128))
    retired_why: Mapped[str | None] = mapped_column(Text)


class AliasMoveRow(Base):
    """One move of an alias; rows are only ever added, and the last one of an alias counts."""

    __tablename__ = "alias_move"
    __table_args__ = (UniqueConstraint("name", "alias", "serial"),)

    id: Mapped[int] = mapped_column(Key, primary_key=True)
    name: Mapped[str] = mapped_column(String(64))
    alias: Mapped[str] = mapped_column(String(64))
    serial: Mapped[int] = mapped_column(Integer)
    target: Mapped[str | None] = mapped_column(String(130))
    previous: Mapped[str | None] = mapped_column(String(130))
    action: Mapped[str] = mapped_column(String(16))
    at: Mapped[datetime] = mapped_column(AwareDateTime)
    who: Mapped[str] = mapped_column(String(128))
    why: Mapped[str] = mapped_column(Text)
    forced: Mapped[bool] = mapped_column(Boolean)
    gates: Mapped[list[dict[str, Any]]] = mapped_column(Document)
    share: Mapped[float | None] = mapped_column(Float)


class CertificateRow(Base):
    """One comparison of an engine with the torch reference on a version's own images."""

    __tablename__ = "certificate"
    __table_args__ = (Index("ix_certificate_name_version", "name", "version"),)

    id: Mapped[int] = mapped_column(Key, primary_key=True)
    name: Mapped[str] = mapped_column(String(64))
    version: Mapped[str] = mapped_column(String(64))
    onnx_sha256: Mapped[str] = mapped_column(String(64))
    manifest_sha256: Mapped[str] = mapped_column(String(64))
    engine: Mapped[str] = mapped_column(String(32))
    precision: Mapped[str] = mapped_column(String(16))
    device: Mapped[str] = mapped_column(String(128))
    library: Mapped[dict[str, str]] = mapped_column(Document)
    images: Mapped[int] = mapped_column(Integer)
    largest: Mapped[float] = mapped_column(Float)
    mean: Mapped[float] = mapped_column(Float)
    rms: Mapped[float] = mapped_column(Float)
    limit: Mapped[float] = mapped_column(Float)
    units: Mapped[str] = mapped_column(String(32))
    passed: Mapped[bool] = mapped_column(Boolean)
    at: Mapped[datetime] = mapped_column(AwareDateTime)
    who: Mapped[str] = mapped_column(String(128))


class ShadowMeasureRow(Base):
    """What a shadow version did with one image beside the one that delivered, or why it did not."""

    __tablename__ = "shadow_measure"
    __table_args__ = (Index("ix_shadow_measure_production_shadow", "production", "shadow"),)

    id: Mapped[int] = mapped_column(Key, primary_key=True)
    at: Mapped[datetime] = mapped_column(AwareDateTime)
    batch_id: Mapped[int] = mapped_column(BigInteger)
    work_item_id: Mapped[int | None] = mapped_column(BigInteger)
    route: Mapped[str] = mapped_column(String(64))
    alias: Mapped[str] = mapped_column(String(64))
    series_uid: Mapped[str] = mapped_column(UID)
    production: Mapped[str] = mapped_column(String(130))
    shadow: Mapped[str] = mapped_column(String(130))
    strength_production: Mapped[float | None] = mapped_column(Float)
    strength_shadow: Mapped[float | None] = mapped_column(Float)
    noise_input: Mapped[float | None] = mapped_column(Float)
    noise_production: Mapped[float | None] = mapped_column(Float)
    noise_shadow: Mapped[float | None] = mapped_column(Float)
    bias: Mapped[float | None] = mapped_column(Float)
    rms_difference: Mapped[float | None] = mapped_column(Float)
    largest_difference: Mapped[float | None] = mapped_column(Float)
    seconds_production: Mapped[float | None] = mapped_column(Float)
    seconds_shadow: Mapped[float | None] = mapped_column(Float)
    units: Mapped[str | None] = mapped_column(String(32))
    error: Mapped[str | None] = mapped_column(Text)

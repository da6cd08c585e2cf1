"""Certificates in the ledger: that an engine was held against the reference, and how it fared."""

from __future__ import annotations

from dataclasses import asdict, fields

from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_node.domain.registry import Certificate
from dicom_node.ledger.audit_events import AuditEvent
from dicom_node.ledger.tables import CertificateRow
from dicom_node.ledger.unit_of_work import UnitOfWork
from model_store.ref import ModelName


def add(unit: UnitOfWork, certificate: Certificate) -> None:
    """Keep a certificate."""
    values = asdict(certificate)
    unit.session.add(CertificateRow(**values | {"library": dict(certificate.library)}))
    unit.session.flush()
    unit.record(
        AuditEvent.MODEL_CERTIFIED,
        {key: value for key, value in values.items() if key != "at"},
    )


def newest_first(session: Session, name: ModelName | None = None) -> tuple[Certificate, ...]:
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

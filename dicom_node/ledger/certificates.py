"""Certificates in the ledger: that an engine was held against the reference, and how it fared."""

from __future__ import annotations

from dataclasses import asdict, fields
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_node.ledger.audit_events import AuditEvent
from dicom_node.ledger.tables import CertificateRow
from dicom_node.ledger.unit_of_work import Ledger, UnitOfWork
from model_store.ref import ModelName
from model_store.registry.records import Certificate


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


class KeptCertificates:
    """The certificates of a ledger, each question and each addition in a transaction of its own.

    Parameters
    ----------
    ledger : Ledger

    Raises
    ------
    LedgerError
        By every method, if the ledger does not answer.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def newest_first(self, name: ModelName) -> tuple[Certificate, ...]:
        """Those of one version."""
        with self._ledger.read() as session:
            return newest_first(session, name)

    def add(self, certificate: Certificate) -> None:
        """Keep one."""
        with self._ledger.write() as unit:
            add(unit, certificate)

    def clock(self) -> datetime:
        """The ledger's time."""
        return self._ledger.clock()

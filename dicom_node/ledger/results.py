"""Results in the ledger: what was made of a batch, and where it is to go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import insert

from dicom_node.ledger import parcels, work_items
from dicom_node.ledger.audit_events import AuditEvent
from dicom_node.ledger.batches import ClaimedBatch, held
from dicom_node.ledger.states import DeliveryState, WorkEvent
from dicom_node.ledger.tables import DeliveryRow, ResultRow
from dicom_node.ledger.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True)
class NewResult:
    """An encoded object that is durable in the spool."""

    work_item_id: int
    sop_instance_uid: str
    series_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    path: str
    sha256: str
    size: int
    engine: Mapping[str, str]
    settings: Mapping[str, str]
    seconds: float


def record_results(unit: UnitOfWork, batch: ClaimedBatch, results: Sequence[NewResult]) -> None:
    """Record results of a held batch, with one waiting delivery for each destination."""
    if not results:
        return
    held(unit, batch)
    boxes = {
        destination: parcels.of_batch(unit, batch.batch_id, destination)
        for destination in batch.plan["destinations"]
    }
    for result in results:
        result_id = unit.session.execute(
            insert(ResultRow)
            .values(
                work_item_id=result.work_item_id,
                sop_instance_uid=result.sop_instance_uid,
                series_uid=result.series_uid,
                sop_class_uid=result.sop_class_uid,
                transfer_syntax_uid=result.transfer_syntax_uid,
                path=result.path,
                sha256=result.sha256,
                size=result.size,
                model_name=batch.model.name,
                model_version=batch.model.version,
                model_sha256=batch.model.sha256,
                engine=dict(result.engine),
                settings=dict(result.settings),
                seconds=result.seconds,
                made_at=unit.at,
            )
            .returning(ResultRow.id)
        ).scalar_one()
        for destination, parcel_id in boxes.items():
            unit.session.add(
                DeliveryRow(
                    result_id=result_id,
                    parcel_id=parcel_id,
                    destination=destination,
                    state=DeliveryState.WAITING.value,
                )
            )
    work_items.transition(
        unit,
        [result.work_item_id for result in results],
        WorkEvent.FINISH,
        audit=AuditEvent.WORK_FINISH,
        batch_id=batch.batch_id,
    )

"""Parcels with results that are real files, and a courier for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import select

from dicom_node.ledger.tables import DeliveryRow, WorkItemRow
from dicom_node.settings import Settings
from tests.support.ledgers import TWO_ROUTES, Life
from tests.support.pacs import FakePacs
from workers.deliver import Courier


def tree(pacs: int, archive: int) -> dict[str, Any]:
    ports = {"pacs": pacs, "archive": archive}
    return TWO_ROUTES | {
        "routes": TWO_ROUTES["routes"][:1],
        "destinations": [
            each | {"port": ports[each["name"]], "timeout_seconds": 2}
            for each in TWO_ROUTES["destinations"]
        ],
    }


class Post:
    """A ledger with results that are real files, and a courier."""

    def __init__(self, folder: Path, pacs: int, archive: int) -> None:
        self.life = Life(folder, tree=tree(pacs, archive))
        self.life.associate()
        self.life.receive_series(3)
        self.life.denoise_all()
        self.life.write_results()
        self.courier = self.a_courier(self.life.settings)

    def a_courier(self, settings: Settings) -> Courier:
        return Courier(self.life.node(settings))

    def parcel(self, destination: str) -> int:
        (parcel_id,) = self.life.due_parcels(destination)
        return parcel_id

    def deliveries(self, destination: str) -> list[DeliveryRow]:
        statement = select(DeliveryRow).where(DeliveryRow.destination == destination)
        return [row[0] for row in self.life.rows(statement.order_by(DeliveryRow.id))]

    def items(self) -> set[str]:
        return {row.state for row in self.life.rows(select(WorkItemRow.state))}


def pacs_for(post: Post, name: str, **behaviour: Any) -> FakePacs:
    settings = post.life.settings.destination(name)
    assert settings is not None
    return FakePacs(port=settings.port, aet=settings.ae_title, **behaviour)

"""What shadows measured and how results were made comes out of the ledger as it went in."""

from __future__ import annotations

from dataclasses import fields
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.exc import NoResultFound

from dicom_node.ledger import past, shadow_measures
from model_store.registry.records import Measure
from tests.support.ledgers import Life

OLD, NEW = "toy@1.0.0", "toy@2.0.0"


def measure(shadow_version: str = NEW, **values: float | str) -> Measure:
    return Measure(1, 2, "ct", "toy", "1.2.4", OLD, shadow_version, **values)  # type: ignore[arg-type]


def test_measures_are_read_by_pair_and_time(life: Life) -> None:
    numbers: dict[str, Any] = {
        field.name: 1.5 for field in fields(Measure) if "float" in str(field.type)
    }
    full = measure(**numbers, units="grey levels of 12 bits")
    failed = measure(error="not in the store")
    with life.ledger.write() as unit:
        shadow_measures.record(unit, [full, failed, measure("toy@3.0.0")])
        shadow_measures.record(unit, [])
    life.clock.advance(60)
    with life.ledger.write() as unit:
        shadow_measures.record(unit, [full])
    now = life.clock.at
    with life.ledger.read() as session:
        assert shadow_measures.measures(session, "toy", OLD, NEW) == [full, failed, full]
        assert shadow_measures.measures(session, "toy", OLD, NEW, since=now) == [full]
        assert shadow_measures.measures(session, "other", OLD, NEW) == []
        first, second = shadow_measures.pairs(session, "toy")
        assert shadow_measures.pairs(session, "other") == []
    assert (first.production, first.shadow, first.images, first.last) == (OLD, NEW, 3, now)
    assert (second.shadow, second.last) == ("toy@3.0.0", now - timedelta(seconds=60))


def test_a_batch_is_told_as_it_was_worked(life: Life) -> None:
    life.associate()
    for number in (1, 2):
        life.receive(f"1.2.4.{number}")
    life.denoise_all()
    with life.ledger.read() as session:
        batches = past.named(session, "1.2.3")
        told = past.batch(session, 1)
        with pytest.raises(NoResultFound):
            past.batch(session, 4711)
    assert sorted(len(items) for items in batches.values()) == [2, 2]
    assert told.items == tuple(sorted(told.results)) == tuple(batches[1])
    one = told.results[told.items[0]]
    assert told.batch.plan["strength"] in (1.0, 0.5)
    assert told.batch.model == one.model
    assert one.item.sop_instance_uid == "1.2.4.1"
    assert one.engine == {"engine": "toy"}
    assert one.result.sha256 == one.sha256
    with life.ledger.read() as session:
        assert past.named(session, one.sop_instance_uid) == {1: [one.item.work_item_id]}
        assert past.named(session, "1.2.4.1") == {}, "a source is no result"

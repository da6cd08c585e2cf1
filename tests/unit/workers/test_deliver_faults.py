"""One object harms only itself on its way out: what nobody thought of is its own try."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from structlog.testing import capture_logs

from dicom_node.errors import IllegalTransition
from dicom_node.ledger import answers, recall
from dicom_node.ledger.tables import ResultRow, WorkItemRow
from dicom_node.network import request
from dicom_node.network.request import sender, wire
from dicom_node.network.request.transcode import transcode
from tests.support.post import Post, pacs_for
from tests.support.servers import free_port
from workers import deliver


@pytest.fixture
def post(tmp_path: Path) -> Iterator[Post]:
    post = Post(tmp_path / "node", free_port(), free_port())
    yield post
    post.life.close()


Poison = Callable[[Post, pytest.MonkeyPatch, str], None]


def in_reading(_: Post, patch: pytest.MonkeyPatch, uid: str) -> None:
    def poisoned(stored: Any, syntax: str) -> Any:
        if stored.sop_instance_uid == uid:
            raise ZeroDivisionError("PHI MARKER")
        return transcode(stored, syntax)

    patch.setattr(sender, "transcode", poisoned)


def in_sending(_: Post, patch: pytest.MonkeyPatch, uid: str) -> None:
    store = wire._WireLink.store

    def poisoned(self: Any, context_id: int, sop_class: str, sop: str, data: Any) -> Any:
        if sop == uid:
            raise ZeroDivisionError("PHI MARKER")
        return store(self, context_id, sop_class, sop, data)

    patch.setattr(wire._WireLink, "store", poisoned)


def in_recording(post: Post, patch: pytest.MonkeyPatch, uid: str) -> None:
    answered = answers.answered
    (poison,) = [each.id for each in post.deliveries("pacs") if uid_of(post, each) == uid]

    def poisoned(unit: Any, parcel: Any, delivery_id: int, **rest: Any) -> bool:
        if delivery_id == poison and rest["delivered"]:
            raise IllegalTransition("work item 4711 is planned; cannot deliver")
        return answered(unit, parcel, delivery_id, **rest)

    patch.setattr(answers, "answered", poisoned)


def uid_of(post: Post, delivery: Any) -> str:
    statement = select(ResultRow.sop_instance_uid).where(ResultRow.id == delivery.result_id)
    return str(post.life.rows(statement)[0][0])


def carry(post: Post) -> None:
    for parcel_id in post.life.due_parcels("pacs"):
        post.courier.run(parcel_id)


def states(post: Post) -> list[str]:
    return [each.state for each in post.deliveries("pacs")]


@pytest.mark.parametrize("poison", [in_reading, in_sending, in_recording])
def test_the_others_of_the_parcel_go_on_and_the_one_is_a_dead_letter_at_its_third_try(
    post: Post, monkeypatch: pytest.MonkeyPatch, poison: Poison
) -> None:
    uid = uid_of(post, post.deliveries("pacs")[1])
    poison(post, monkeypatch, uid)
    with pacs_for(post, "pacs") as pacs, capture_logs() as lines:
        carry(post)
        assert states(post) == ["delivered", "waiting", "delivered"]
        for _ in range(2):
            post.life.clock.advance(3600)
            carry(post)
        assert states(post) == ["delivered", "failed", "delivered"]
        post.life.clock.advance(3600)
        carry(post)
        assert (uid in pacs.uids) is (poison is in_recording)
    message = str(post.deliveries("pacs")[1].message)
    assert message.startswith("given up after 3 tries: ")
    assert ".py:" in message
    assert "study retry" in message
    assert "MARKER" not in message
    assert [line["event"] for line in lines].count("delivery.fault") == 3


@pytest.mark.holds(number=4)
def test_a_fault_of_one_object_holds_back_no_other_parcel(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says nothing about the destination."""
    post.life.receive_series(3, series="1.2.5")
    post.life.denoise_all()
    post.life.write_results()
    first, second = post.life.due_parcels("pacs")
    in_reading(post, monkeypatch, uid_of(post, post.deliveries("pacs")[1]))
    with pacs_for(post, "pacs"):
        post.courier.run(first)
        assert post.life.due_parcels("pacs") == [second]
        post.courier.run(second)
    assert states(post) == ["delivered", "waiting", "delivered", *["delivered"] * 3]


def test_a_fault_with_no_object_in_hand_is_found_one_by_one(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody can say with which object it came; three times alone, and that is known."""
    uid = uid_of(post, post.deliveries("pacs")[1])
    send = request.send

    def poisoned(address: Any, batch: Any, **rest: Any) -> None:
        if any(each.result.sop_instance_uid == uid for each in batch):
            raise ZeroDivisionError("PHI MARKER")
        send(address, batch, **rest)

    monkeypatch.setattr(deliver, "send", poisoned)
    with pacs_for(post, "pacs"):
        for _ in range(12):
            carry(post)
            post.life.clock.advance(3600)
    assert states(post) == ["delivered", "failed", "delivered"]
    message = str(post.deliveries("pacs")[1].message)
    assert message.startswith("given up after 3 tries: ZeroDivisionError at ")
    assert "MARKER" not in message


def test_a_person_gives_it_three_tries_more(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch, pacs_for(post, "pacs"):
        in_reading(post, patch, uid_of(post, post.deliveries("pacs")[1]))
        for _ in range(3):
            carry(post)
            post.life.clock.advance(3600)
    with pacs_for(post, "archive"):
        post.courier.run(post.parcel("archive"))
    with post.life.ledger.write() as unit:
        failed = select(WorkItemRow.id).where(WorkItemRow.state == "failed")
        recall.retry(unit, list(unit.session.execute(failed).scalars()))
    with pacs_for(post, "pacs"):
        carry(post)
    assert states(post) == ["delivered"] * 3

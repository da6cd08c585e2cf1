"""A parcel on its way: what the destination answers is what the ledger says."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from dicom_node.bell.outbox import Queue
from dicom_node.errors import LedgerError
from dicom_node.ledger import parcels, recall
from dicom_node.ledger.tables import ParcelRow, ResultRow, WorkItemRow
from dicom_node.process_names import process_name
from tests.support.pacs import FakePacs
from tests.support.post import Post, pacs_for
from tests.support.servers import free_port
from workers import deliver


@pytest.fixture
def post(tmp_path: Path) -> Iterator[Post]:
    post = Post(tmp_path / "node", free_port(), free_port())
    yield post
    post.life.close()


def test_what_both_destinations_took_is_delivered(post: Post) -> None:
    with pacs_for(post, "pacs") as pacs, pacs_for(post, "archive") as archive:
        for name in ("pacs", "archive"):
            assert post.courier.run(post.parcel(name))
        assert len(pacs.uids) == len(archive.uids) == 3
    assert post.items() == {"delivered"}
    assert {each.status for each in post.deliveries("pacs")} == {0}


def test_a_warning_is_delivered_and_kept(post: Post) -> None:
    with pacs_for(post, "pacs", statuses=[0xB000]):
        post.courier.run(post.parcel("pacs"))
    assert [each.status for each in post.deliveries("pacs")] == [0xB000, 0, 0]
    assert {each.state for each in post.deliveries("pacs")} == {"delivered"}


def test_a_refusal_fails_only_its_own(post: Post) -> None:
    with pacs_for(post, "pacs", statuses=[0, 0xA900, 0]):
        post.courier.run(post.parcel("pacs"))
    states = [each.state for each in post.deliveries("pacs")]
    assert sorted(states) == ["delivered", "delivered", "failed"]


def test_out_of_resources_is_tried_again(post: Post) -> None:
    with pacs_for(post, "pacs", statuses=[0, 0xA700, 0]) as pacs:
        post.courier.run(post.parcel("pacs"))
        assert post.life.due_parcels("pacs") == []
        post.life.clock.advance(600)
        post.courier.run(post.parcel("pacs"))
        assert len(pacs.uids) == 3
        assert not pacs.duplicates
    assert {each.state for each in post.deliveries("pacs")} == {"delivered"}


def test_a_destination_that_is_down_is_waited_for_and_becomes_a_dead_letter(post: Post) -> None:
    for _ in range(20):
        for parcel_id in post.life.due_parcels("pacs"):
            post.courier.run(parcel_id)
        post.life.clock.advance(4 * 3600)
    assert {each.state for each in post.deliveries("pacs")} == {"failed"}
    with pacs_for(post, "archive"):
        post.courier.run(post.parcel("archive"))
    assert post.items() == {"failed"}
    with post.life.ledger.write() as unit:
        ids = [row.id for row in unit.session.execute(select(WorkItemRow.id))]
        assert recall.retry(unit, ids).redelivered == 3
    with pacs_for(post, "pacs"):
        post.courier.run(post.parcel("pacs"))
    assert post.items() == {"delivered"}


def test_a_destination_that_hangs_does_not_delay_another(post: Post) -> None:
    with pacs_for(post, "pacs", hang_after=0), pacs_for(post, "archive") as archive:
        hung = threading.Thread(target=post.courier.run, args=(post.parcel("pacs"),))
        hung.start()
        post.courier.run(post.parcel("archive"))
        assert len(archive.uids) == 3
        hung.join()
    assert {each.state for each in post.deliveries("pacs")} == {"waiting"}


def test_a_destination_that_is_no_longer_configured_waits_for_a_person(post: Post) -> None:
    without = post.life.settings.model_copy(
        update={"destinations": post.life.settings.destinations[:1]}
    )
    post.a_courier(without).run(post.parcel("archive"))
    assert {each.state for each in post.deliveries("archive")} == {"failed"}
    assert "[[destinations]]" in str(post.deliveries("archive")[0].message)


def test_a_result_whose_bytes_are_gone_fails_alone(post: Post) -> None:
    with post.life.ledger.write() as unit:
        first = unit.session.execute(select(ResultRow.id).limit(1)).scalar_one()
        unit.session.execute(update(ResultRow).where(ResultRow.id == first).values(path=None))
    with pacs_for(post, "pacs"):
        post.courier.run(post.parcel("pacs"))
    assert sorted(each.state for each in post.deliveries("pacs")) == [
        "delivered", "delivered", "failed",
    ]  # fmt: skip


@pytest.mark.parametrize("data", [None, b"", b"PHI^MARKER" * 99])
def test_a_result_that_cannot_be_read_fails_alone(post: Post, data: bytes | None) -> None:
    (path,) = post.life.rows(select(ResultRow.path).limit(1))[0]
    if data is None:
        (post.life.spool.root / path).unlink()
    else:
        (post.life.spool.root / path).write_bytes(data)
    with pacs_for(post, "pacs"):
        post.courier.run(post.parcel("pacs"))
        for _ in range(30):
            post.life.clock.advance(4 * 3600)
            for parcel_id in post.life.due_parcels("pacs"):
                post.courier.run(parcel_id)
    states = [each.state for each in post.deliveries("pacs")]
    assert sorted(states) == ["delivered", "delivered", "failed"]
    assert "MARKER" not in "".join(str(each.message) for each in post.deliveries("pacs"))


def test_a_fault_of_sending_that_nobody_thought_of_ends_as_a_dead_letter(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    def send(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("PHI^MARKER")

    monkeypatch.setattr(deliver, "send", send)
    for _ in range(30):
        for parcel_id in post.life.due_parcels("pacs"):
            post.courier.run(parcel_id)
        post.life.clock.advance(4 * 3600)
        post.life.upkeep.catch_up()
    assert {each.state for each in post.deliveries("pacs")} == {"failed"}
    assert "MARKER" not in "".join(str(each.message) for each in post.deliveries("pacs"))


@pytest.mark.parametrize("status", [0x0000, 0xA700])
def test_a_sender_whose_parcel_was_taken_back_sends_no_more_of_it(post: Post, status: int) -> None:
    def answer(_uid: str, nth: int) -> int:
        if nth == 0:  # as upkeep does for a sender that stood still
            with post.life.ledger.write() as unit:
                assert parcels.take_back_expired(unit, worker=process_name())
            return status
        return 0x0000

    with pacs_for(post, "pacs", statuses=answer) as pacs:
        with pytest.raises(LedgerError, match="taken back"):
            post.courier.run(post.parcel("pacs"))
        assert len(pacs.received) == 1
        post.courier.run(post.parcel("pacs"))
        assert len(pacs.uids) == 3
        assert not pacs.duplicates
    assert {each.state for each in post.deliveries("pacs")} == {"delivered"}


def test_a_sender_whose_parcel_was_taken_back_before_it_was_connected_sends_none_of_it(
    post: Post,
) -> None:
    class Slow(FakePacs):
        """It accepts associations so late that upkeep takes the parcel back."""

        def _on_request(self, event: Any) -> None:
            super()._on_request(event)
            if self.associations == 1:
                with post.life.ledger.write() as unit:
                    assert parcels.take_back_expired(unit, worker=process_name())

    settings = post.life.settings.destination("pacs")
    assert settings is not None
    with Slow(port=settings.port, aet=settings.ae_title) as pacs:
        with pytest.raises(LedgerError, match="taken back"):
            post.courier.run(post.parcel("pacs"))
        assert not pacs.received
        post.courier.run(post.parcel("pacs"))
        assert len(pacs.uids) == 3
        assert not pacs.duplicates


def test_a_parcel_that_is_on_its_way_or_unknown_is_left_alone(post: Post) -> None:
    assert not post.courier.run(4711)
    parcel_id = post.parcel("pacs")
    post.life.take(parcel_id)
    assert not post.courier.run(parcel_id)
    (row,) = post.life.rows(select(ParcelRow.state).where(ParcelRow.id == parcel_id))
    assert row.state == "sending"


def test_a_sender_takes_what_is_due_until_nothing_is(post: Post) -> None:
    with pacs_for(post, "pacs"), pacs_for(post, "archive"):
        post.life.bell.rings.clear()
        assert post.courier.run_next()
        assert [ring.queue for ring in post.life.bell.rings] == [Queue.DELIVER], "another is called"
        assert post.courier.run_next()
        assert not post.courier.run_next()
    assert post.items() == {"delivered"}


def test_a_ring_for_nothing_writes_nothing(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    with pacs_for(post, "pacs"), pacs_for(post, "archive"):
        while post.courier.run_next():
            pass

    def write() -> None:
        raise AssertionError("something is written")

    monkeypatch.setattr(post.life.ledger, "write", write)
    assert not post.courier.run_next()


def test_a_destination_at_its_limit_does_not_hold_up_another(post: Post) -> None:
    busy = post.life.take(post.parcel("pacs"), "d:2")
    assert busy is not None
    with pacs_for(post, "pacs") as pacs, pacs_for(post, "archive") as archive:
        assert post.courier.run_next()
        assert not post.courier.run_next()
        assert (len(pacs.received), len(archive.received)) == (0, 3)

"""The way of a parcel to its destination: claim, send over one association, record answers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from itertools import count
from typing import Final

import structlog
from sqlalchemy import select

from dicom_node.bell.outbox import Queue, Ring
from dicom_node.domain.backoff import delay
from dicom_node.errors import FailItem, LedgerError
from dicom_node.ledger import answers, parcels, turns
from dicom_node.ledger.faults import is_refusal
from dicom_node.ledger.parcels import ClaimedDelivery, ClaimedParcel
from dicom_node.ledger.tables import ParcelRow
from dicom_node.ledger.turns import Turn
from dicom_node.network.request import Address, Answer, DeliveryOutcome, Outgoing, Timeouts, send
from dicom_node.node import Node
from dicom_node.places import place_of
from dicom_node.process_names import process_name
from dicom_node.settings import DestinationSettings
from workers.lease import renewed

_UNLIMITED: Final = 1_000_000
_MOST_REASONS: Final = 3
_LOOKS: Final = 3
"""Looks at which somebody else was faster, before the thread waits for another ring."""


class Courier:
    """Carries parcels. Used by several threads at a time.

    Parameters
    ----------
    node : Node
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._lease = timedelta(seconds=node.settings.delivery.lease_seconds)
        self._limits = node.settings.limits
        self._looks = count()
        self._log = structlog.get_logger("delivery")

    def run_next(self) -> bool:
        """Try to deliver the most urgent parcel; returns False if none is due and has room.

        Destinations take turns. A look that finds nothing writes nothing.

        Raises
        ------
        LedgerError
            As `run` does.
        """
        for _ in range(_LOOKS):
            found = self._due(next(self._looks))
            if any(self.run(parcel_id) for parcel_id in found):
                return True
            if not found:
                return False
        return False

    def _due(self, look: int) -> list[int]:
        turn = Turn.NEWEST if look % 2 == 0 else Turn.OLDEST
        ledger = self._node.ledger
        with ledger.read() as session:
            return turns.next_parcels(session, session.at, self._limits, turn, look // 2)

    def run(self, parcel_id: int) -> bool:
        """Try to deliver a parcel; returns False if there was nothing to do now.

        Sending again what a destination already has is harmless: UID and bytes are the same.

        Raises
        ------
        LedgerError
            The ledger is away; upkeep gives the parcel out again once its lease has ended.
        """
        with self._node.ledger.read() as session:
            name = session.execute(
                select(ParcelRow.destination).where(ParcelRow.id == parcel_id)
            ).scalar_one_or_none()
        destination = None if name is None else self._node.settings.destination(name)
        limit = _UNLIMITED if destination is None else destination.associations
        with self._node.ledger.write() as unit:
            parcel = parcels.claim(unit, parcel_id, process_name(), self._lease, limit)
        if parcel is None:
            return False
        self._call_another()
        faulty: set[int] = set()
        if destination is None:
            self._no_destination(parcel)
        else:
            try:
                self._carry(parcel, destination, faulty)
            except LedgerError:
                raise
            except Exception as error:  # noqa: BLE001 -- or the parcel is sent again without end
                self._log.exception("parcel.crashed", parcel=parcel_id)
                self._crashed(parcel, error, faulty)
        settings = self._node.settings.delivery
        wait = delay(
            parcel.attempts,
            first=timedelta(seconds=settings.retry_first_seconds),
            factor=settings.retry_factor,
            ceiling=timedelta(seconds=settings.retry_longest_seconds),
        )
        with self._node.ledger.write() as unit:
            given_up = parcels.finish(
                unit,
                parcel,
                retry_after=wait,
                give_up_after=timedelta(hours=settings.give_up_hours),
                faulty=faulty,
            )
        if given_up:
            self._log.error(
                "parcel.given_up", parcel=parcel_id, destination=parcel.destination,
                deliveries=given_up, remedy="'dicom-node destination failed' lists them",
            )  # fmt: skip
        return True

    def _call_another(self) -> None:
        """Ring for the next idle thread if more is due and has room: that one does the same."""
        ledger = self._node.ledger
        with suppress(LedgerError):
            with ledger.read() as session:
                more = turns.next_parcels(session, session.at, self._limits)
            for parcel_id in more[:1]:
                ledger.bell.ring(Ring(Queue.DELIVER, parcel_id))

    def _carry(
        self, parcel: ClaimedParcel, destination: DestinationSettings, faulty: set[int]
    ) -> None:
        outgoing: list[Outgoing] = []
        for each in parcel.deliveries:
            try:
                outgoing.append(self._outgoing(each))
            except FailItem as error:
                self._final(parcel, each.delivery_id, False, None, str(error))
            except Exception as error:  # noqa: BLE001 -- counted as the delivery's
                faulty.add(each.delivery_id)
                self._at_fault(parcel, each.delivery_id, place_of(error))
        counts: dict[DeliveryOutcome, int] = {}
        reasons: set[str] = set()

        def on_answer(answer: Answer) -> None:
            counts[answer.outcome] = counts.get(answer.outcome, 0) + 1
            if answer.outcome is not DeliveryOutcome.DELIVERED:
                reasons.add(answer.message)
            try:
                fault = answer.message if answer.outcome is DeliveryOutcome.FAULT else ""
                if not fault:
                    self._answer(parcel, answer)
            except Exception as error:
                if isinstance(error, LedgerError) and not is_refusal(error):
                    raise
                self._log.exception("answer.refused", delivery=answer.delivery_id)
                fault = place_of(error)
            if fault:
                faulty.add(answer.delivery_id)
                self._at_fault(parcel, answer.delivery_id, fault)

        def on_open() -> None:
            with self._node.ledger.write() as unit:
                held = parcels.renew(unit, parcel, self._lease)
            _require(parcel, held)

        with self._kept(parcel):
            send(self._address(destination), outgoing, on_open=on_open, on_answer=on_answer)
        level = "warning" if set(counts) - {DeliveryOutcome.DELIVERED} else "info"
        getattr(self._log, level)(
            "parcel.tried", parcel=parcel.parcel_id, destination=destination.name,
            attempt=parcel.attempts, why=sorted(reasons)[:_MOST_REASONS] or None,
            **{outcome.value: n for outcome, n in counts.items()},
        )  # fmt: skip

    def _outgoing(self, each: ClaimedDelivery) -> Outgoing:
        if each.result.path is None:
            raise FailItem("the result's bytes are gone")
        path = self._node.spool.path(each.result.path)
        return Outgoing(each.delivery_id, each.result, path)

    @contextmanager
    def _kept(self, parcel: ClaimedParcel) -> Iterator[None]:
        """Prolong the lease while a transfer is under way, however large the object is.

        A transfer that makes no progress ends by the sender's own timeouts.
        """

        def prolong() -> bool:
            with self._node.ledger.write() as unit:
                parcels.renew(unit, parcel, self._lease)
            return True

        with renewed(self._lease, prolong, self._log):
            yield

    def _address(self, destination: DestinationSettings) -> Address:
        return Address(
            name=destination.name,
            host=destination.host,
            port=destination.port,
            called_ae_title=destination.ae_title,
            calling_ae_title=destination.calling_ae_title or self._node.settings.node.ae_title,
            timeouts=Timeouts.all(destination.timeout_seconds),
            max_pdu=destination.max_pdu,
        )

    def _answer(self, parcel: ClaimedParcel, answer: Answer) -> None:
        if answer.outcome is DeliveryOutcome.RETRY:
            with self._node.ledger.write() as unit:
                held = answers.postponed(
                    unit, parcel, answer.delivery_id, tried=answer.tried,
                    status=answer.status, message=answer.message, lease=self._lease,
                )  # fmt: skip
            _require(parcel, held)
            return
        delivered = answer.outcome is not DeliveryOutcome.REFUSED
        self._final(parcel, answer.delivery_id, delivered, answer.status, answer.message)

    def _final(
        self,
        parcel: ClaimedParcel,
        delivery_id: int,
        delivered: bool,
        status: int | None,
        message: str,
    ) -> None:
        with self._node.ledger.write() as unit:
            held = answers.answered(
                unit, parcel, delivery_id,
                delivered=delivered, status=status, message=message, lease=self._lease,
            )  # fmt: skip
        _require(parcel, held)

    def _at_fault(self, parcel: ClaimedParcel, delivery_id: int, place: str) -> None:
        self._log.error("delivery.fault", delivery=delivery_id, parcel=parcel.parcel_id, at=place)
        with self._node.ledger.write() as unit:
            held = answers.at_fault(unit, parcel, delivery_id, place=place, lease=self._lease)
        _require(parcel, held)

    def _crashed(self, parcel: ClaimedParcel, error: Exception, faulty: set[int]) -> None:
        """Count what came up with no object in hand; of a parcel of one it is that one's."""
        if parcel.alone:
            for each in parcel.deliveries:
                faulty.add(each.delivery_id)
                self._at_fault(parcel, each.delivery_id, place_of(error))
            return
        message = f"{place_of(error)} while sending; the log of delivery has the trace"
        with self._node.ledger.write() as unit:
            parcels.crashed(unit, parcel)
            for each in parcel.deliveries:
                answers.postponed(
                    unit, parcel, each.delivery_id, tried=False, status=None, message=message,
                    lease=self._lease,
                )  # fmt: skip

    def _no_destination(self, parcel: ClaimedParcel) -> None:
        message = (
            "no [[destinations]] entry has this name any more; add it, then "
            "'dicom-node study retry'"
        )
        for each in parcel.deliveries:
            self._final(parcel, each.delivery_id, False, None, message)


def _require(parcel: ClaimedParcel, held: bool) -> None:
    """End a sender that stood still for so long that somebody else has its parcel.

    The answer that it read counts; what it has not sent is the other's to send.

    Raises
    ------
    LedgerError
        The parcel was taken back.
    """
    if not held:
        raise LedgerError(f"parcel {parcel.parcel_id} was taken back from this sender")

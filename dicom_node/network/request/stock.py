"""The same association carried by pynetdicom, for comparison and as the fallback.

Two things are done to it. Its sockets block without a limit once connected, so they get one. And
its association reactor may take the response that the sender waits for (pynetdicom 3.0.4:
1-2 in 10,000 C-STOREs), so it is parked from the moment the association is established until
release.
"""

from __future__ import annotations

import contextlib
import io
import socket
from collections.abc import Mapping, Sequence
from typing import Any, Final

from pynetdicom import AE, build_context, evt
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_STORE

from dicom_node.dicom.pdus import Response
from dicom_node.dicom.uids import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from dicom_node.network.request.address import Address
from dicom_node.network.request.association import Context, Link, LinkFailed, rejection
from dicom_node.network.request.dataset import DataSet

_STORE_RESPONSE: Final = 0x8001
_MEDIUM_PRIORITY: Final = 0


def open_link(address: Address, contexts: Sequence[Context]) -> Link:
    """Associate with a destination; see `dicom_node.network.request.wire.open_link`."""
    entity = AE(ae_title=address.calling_ae_title)
    entity.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    entity.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    entity.connection_timeout = address.timeouts.connect
    entity.acse_timeout = address.timeouts.acse
    entity.dimse_timeout = address.timeouts.dimse
    entity.network_timeout = address.timeouts.network
    try:
        association = entity.associate(
            address.host,
            address.port,
            contexts=[
                build_context(c.abstract_syntax, list(c.transfer_syntaxes)) for c in contexts
            ],
            ae_title=address.called_ae_title,
            max_pdu=address.max_pdu,
            tls_args=None if address.tls is None else (address.tls, address.host),
            evt_handlers=[
                (evt.EVT_CONN_OPEN, _limit_waits, [address.timeouts.network]),
                (evt.EVT_ESTABLISHED, _park_reactor),
            ],
        )
    except socket.gaierror as error:
        message = f"the host name {address.host} cannot be resolved"
        raise LinkFailed(message) from error
    results = {
        one.context_id or 0: (0, str(one.transfer_syntax[0]))
        for one in association.accepted_contexts
    }
    results |= {one.context_id or 0: (one.result or 2, "") for one in association.rejected_contexts}
    if not association.is_established and not results:
        raise _why_not(association, address)
    return _StockLink(association, results)


class _StockLink:
    """See `Link`."""

    def __init__(self, association: Association, results: Mapping[int, tuple[int, str]]) -> None:
        self._association = association
        self._results = results
        self._message_id = 0

    @property
    def results(self) -> Mapping[int, tuple[int, str]]:
        return self._results

    def store(
        self, context_id: int, sop_class_uid: str, sop_instance_uid: str, data: DataSet
    ) -> Response:
        with data.open() as stream:
            content = stream.read()
        request = C_STORE()
        request.Priority = _MEDIUM_PRIORITY
        request.AffectedSOPClassUID = sop_class_uid
        request.AffectedSOPInstanceUID = sop_instance_uid
        request.DataSet = io.BytesIO(content)
        return self._exchange(request, context_id, _STORE_RESPONSE)

    def release(self) -> None:
        self._association.release()

    def abort(self) -> None:
        if not (self._association.is_aborted or self._association.is_released):
            self._association.abort()

    def _exchange(self, request: Any, context_id: int, kind: int) -> Response:
        if not self._association.is_established:
            raise LinkFailed("the association with the destination is gone")
        self._message_id = self._message_id % 0xFFFF + 1
        request.MessageID = self._message_id
        self._association.dimse.send_msg(request, context_id)
        _, answer = self._association.dimse.get_msg(block=True)
        if answer is None:
            raise self._no_answer()
        if not isinstance(answer, type(request)) or not answer.is_valid_response:
            raise _breach("an invalid response")
        if answer.MessageIDBeingRespondedTo != self._message_id:
            raise _breach("a response to another message")
        instance = str(getattr(answer, "AffectedSOPInstanceUID", None) or "")
        if instance not in {"", str(getattr(request, "AffectedSOPInstanceUID", ""))}:
            raise _breach("a response about another instance")
        return Response(
            command=kind,
            message_id=self._message_id,
            status=int(answer.Status),
            sop_instance_uid=instance,
            offending=(),
            has_data_set=False,
        )

    def _no_answer(self) -> LinkFailed:
        if self._association.acse.is_aborted("a-abort"):
            return LinkFailed("the destination aborted the association")
        if self._association.acse.is_aborted("a-p-abort"):
            message = "the destination closed the connection before its response"
            return LinkFailed(message)
        # Its reading thread may wait for the rest of a PDU; without this `abort` would wait too.
        _shut(self._association)
        return LinkFailed("the destination sent no response in time")


def _socket_of(association: Association) -> socket.socket | None:
    transport = association.dul.socket
    return None if transport is None else transport.socket


def _limit_waits(event: evt.Event, seconds: float) -> None:
    sock = _socket_of(event.assoc)
    if sock is not None:
        sock.settimeout(seconds)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _shut(association: Association) -> None:
    sock = _socket_of(association)
    if sock is not None:
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)


def _park_reactor(event: evt.Event) -> None:
    """Keep the reactor from running; its thread starts after this event."""
    event.assoc._reactor_checkpoint.clear()


def _why_not(association: Association, address: Address) -> LinkFailed:
    answer = association.acceptor.primitive
    if association.is_rejected and answer is not None:
        return rejection(
            answer.result or 0, answer.result_source or 0, answer.diagnostic or 0,
            called=address.called_ae_title, calling=address.calling_ae_title,
        )  # fmt: skip
    where = f"{address.host}:{address.port}"
    return LinkFailed(
        f"no association with {where}: refused, aborted or not answered in time",
    )


def _breach(what: str) -> LinkFailed:
    return LinkFailed(f"the destination broke the protocol: {what}")

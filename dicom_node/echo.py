"""C-ECHO to a destination, with the outcome in plain words (PS3.4 Annex A)."""

from __future__ import annotations

from dataclasses import dataclass

from pynetdicom import AE

from dicom_node.settings import DestinationSettings

_VERIFICATION = "1.2.840.10008.1.1"


@dataclass(frozen=True, slots=True)
class EchoOutcome:
    """Whether a destination answers, and what to do if not."""

    ok: bool
    message: str


def echo(destination: DestinationSettings, calling_ae_title: str) -> EchoOutcome:
    """Open an association, send one C-ECHO, and say how it went."""
    entity = AE(calling_ae_title)
    entity.add_requested_context(_VERIFICATION)
    seconds = min(destination.timeout_seconds, 10.0)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = seconds
    entity.connection_timeout = seconds
    where = f"{destination.ae_title}@{destination.host}:{destination.port}"
    association = entity.associate(
        destination.host, destination.port, ae_title=destination.ae_title
    )
    if not association.is_established:
        return EchoOutcome(False, f"{where} {_refusal(association, calling_ae_title)}")
    try:
        status = association.send_c_echo()
    finally:
        association.release()
    code = status.get("Status")
    if code == 0:
        return EchoOutcome(True, f"{where} answers")
    if code is None:
        return EchoOutcome(False, f"{where} accepted the association but did not answer C-ECHO")
    return EchoOutcome(False, f"{where} answered C-ECHO with 0x{code:04X}")


def _refusal(association: object, calling_ae_title: str) -> str:
    if getattr(association, "is_rejected", False):
        reply = association.acceptor.primitive  # type: ignore[attr-defined]
        reason = reply.reason_str if reply is not None else "no reason given"
        return (
            f"rejected the association: {reason}; allow calling AE title "
            f"{calling_ae_title!r} and check the called one"
        )
    return "cannot be reached: nothing listens there, a firewall is between, or it does not answer"

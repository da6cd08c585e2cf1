"""C-ECHO to a destination, with the outcome in plain words (PS3.4 Annex A)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from dicom_node.dicom.sop_classes import VERIFICATION
from dicom_node.network.request.scu import NoAnswer, Trouble, address_of, associated
from dicom_node.settings import DestinationSettings

_LONGEST_WAIT: Final = 10.0


@dataclass(frozen=True, slots=True)
class EchoOutcome:
    """Whether a destination answers, and what to do if not.

    Attributes
    ----------
    trouble
        Kind of failure; None where it answers.
    message
        What was found and what to do about it.
    """

    trouble: Trouble | None
    message: str

    @property
    def ok(self) -> bool:
        """Whether the destination answered with success."""
        return self.trouble is None


def echo(destination: DestinationSettings, calling_ae_title: str) -> EchoOutcome:
    """Open an association, send one C-ECHO, and say how it went.

    Nothing is raised for what the destination does or fails to do; each wait ends within its
    ``timeout_seconds``, at most 10 s.
    """
    where = address_of(destination)
    seconds = min(destination.timeout_seconds, _LONGEST_WAIT)
    try:
        with associated(destination, calling_ae_title, VERIFICATION, seconds) as line:
            status = line.association.send_c_echo()
    except NoAnswer as error:
        if error.trouble is Trouble.NO_CONTEXT:
            words = f"{where} associates, but does not offer verification (C-ECHO)"
            return EchoOutcome(error.trouble, words)
        return EchoOutcome(error.trouble, str(error))
    except RuntimeError:  # pynetdicom's word for an association that has just ended
        return EchoOutcome(Trouble.ABORTED, f"{where} ended the association before C-ECHO")
    code = status.get("Status")
    if code == 0:
        return EchoOutcome(None, f"{where} answers")
    if code is None:
        words = f"{where} accepted the association but did not answer C-ECHO"
        return EchoOutcome(Trouble.TIMEOUT, words)
    return EchoOutcome(Trouble.FAILED, f"{where} answered C-ECHO with 0x{code:04X}")

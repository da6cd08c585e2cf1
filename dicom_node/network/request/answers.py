"""What is sent, and what is known about it afterwards."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dicom_node.network.request.statuses import Verdict
from dicom_node.spool.stored import Kind, Stored


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One stored result that is to reach a destination.

    Attributes
    ----------
    delivery_id
        Its row in the ledger.
    path
        The DICOM file; only read.
    sop_class_uid, sop_instance_uid, transfer_syntax_uid
        What its file meta information says (PS3.10 7.1).
    sha256
        Of the whole file, in hexadecimal; one that has another is not sent.
    """

    delivery_id: int
    path: Path
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    sha256: str

    @property
    def stored(self) -> Stored:
        """The object as it is compared with its file."""
        return Stored(
            Kind.RESULT,
            self.sop_class_uid,
            self.sop_instance_uid,
            self.transfer_syntax_uid,
            self.sha256,
            str(self.path),
        )


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one `Outgoing`.

    Attributes
    ----------
    delivery_id
        Its row in the ledger.
    verdict
        What to do next.
    status
        (0000,0900) Status of the C-STORE response; None when there was none.
    message
        Why, in plain words; UIDs at most, never patient data.
    sent_transfer_syntax
        Transfer syntax in which it was sent; None when it was not.
    seconds
        From reading the file to the answer; 0 when it was not sent.
    tried
        Whether its transfer had begun. False: the association failed before its turn, which
        says nothing about this object.
    """

    delivery_id: int
    verdict: Verdict
    status: int | None
    message: str
    sent_transfer_syntax: str | None
    seconds: float
    tried: bool = True

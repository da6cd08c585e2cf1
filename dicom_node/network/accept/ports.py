"""What the receiving side needs from the rest of the node."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

SUCCESS: Final = 0x0000
DUPLICATE: Final = 0x0111
"""Duplicate SOP Instance (PS3.7 C.5.7)."""


@dataclass(frozen=True, slots=True)
class Caller:
    """One association, as seen by the node.

    Attributes
    ----------
    association_id
        32 hexadecimal digits (UUID 4), new for each association.
    calling_ae_title, called_ae_title
        As sent, without the spaces around them.
    address
        The peer's IP address.
    """

    association_id: str
    calling_ae_title: str
    called_ae_title: str
    address: str


@dataclass(frozen=True, slots=True)
class ReceivedInstance:
    """One instance, already durable in the incoming folder of the spool.

    Attributes
    ----------
    path
        A closed and synced file: preamble and File Meta Information (PS3.10) written by the node,
        then the bytes of the data set exactly as received.
    size
        Bytes of the data set, without what the node put before it.
    sha256
        SHA-256, in hexadecimal, of ``transfer_syntax_uid`` in ASCII, one zero byte, and the bytes
        of the data set as received. Equal if and only if the same object was sent again in the
        same encoding; the node's own File Meta Information is not part of it.
    sop_class_uid, sop_instance_uid
        Affected SOP Class and Instance UID of the C-STORE-RQ; the data set may disagree.
    transfer_syntax_uid
        Of the presentation context that the object came through.
    caller
        The association that it came through.
    """

    path: Path
    size: int
    sha256: str
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    caller: Caller


class Intake(Protocol):
    """Takes over what was received. All methods are called from many threads at once."""

    def opened(self, caller: Caller) -> None:
        """Note an association that is about to be accepted.

        A `NodeError` raised here rejects the association as temporarily congested.
        """

    def store(self, received: ReceivedInstance) -> int:
        """Move the file into its place, write the ledger, and return the status to answer.

        Whatever this returns is sent to the peer: 0x0000 only once the file and its ledger row are
        durable. The file is removed afterwards if it is still at `ReceivedInstance.path`. A
        `NodeError` raised here is answered 0xA700 if trying again may help (`RetryLater`), else
        0xC211.
        """

    def closed(self, caller: Caller, outcome: str) -> None:
        """Note the end of an association, after its last `store` has returned.

        `outcome` is ``released``, ``aborted`` (by the peer, the network, or for an illegal
        message), ``timeout`` (by the node, after silence) or ``shutdown`` (by the node).
        """

    def has_space(self, size_hint: int) -> bool:
        """Say whether an instance of about `size_hint` bytes may be taken (0: size not known).

        If not, the object is read off the wire and dropped, and answered 0xA700.
        """

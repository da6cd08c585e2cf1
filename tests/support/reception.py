"""What tests ask of the receiving side."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pynetdicom import AE
from pynetdicom.association import Association

from dicom_node.network.accept.admission import Admission, Peer
from dicom_node.network.accept.server import Server
from tests.support.waiting import eventually
from tests.support.wire import RecordingIntake, data_set_of, left_over

DATA = bytes(range(256)) * 300

Start = Callable[..., Server]


def nothing_stays(intake: RecordingIntake, end: str = "aborted") -> None:
    """Nothing stored, nothing left in the spool, and the end reported."""
    eventually(lambda: intake.ends)
    assert intake.ends == [end]
    assert intake.stored == []
    assert left_over(intake.spool) == []


def received_data(intake: RecordingIntake) -> list[bytes]:
    return [data_set_of(path.read_bytes()) for _, path in intake.stored]


def only(*peers: Peer, **options: Any) -> Admission:
    return Admission(ae_titles=["DENOISE"], peers=peers, **options)


def associated(server: Server, ae: AE, **options: Any) -> Association:
    return ae.associate("127.0.0.1", server.port, ae_title="DENOISE", **options)

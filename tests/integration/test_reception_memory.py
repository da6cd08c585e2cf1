"""What is left of an association once it has ended: nothing, without waiting for the collector."""

from __future__ import annotations

import gc
import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest
from pynetdicom.acse import ACSE
from pynetdicom.association import Association
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dimse_messages import DIMSEMessage
from pynetdicom.dul import DULServiceProvider
from pynetdicom.fsm import StateMachine

from dicom_node.network.accept.admission import Admission
from dicom_node.network.accept.association import BURST, Reader
from dicom_node.network.accept.inline import InlineReader, MessageAssembler
from dicom_node.network.accept.receiver import StoreReceiver
from dicom_node.network.accept.server import Server
from dicom_node.network.accept.transport import BufferedSocket
from dicom_node.spool.spool import IncomingFile, Spool
from tests.support.waiting import eventually
from tests.support.wire import (
    ABORT,
    RELEASE_RQ,
    RawPeer,
    RecordingIntake,
    echo_request,
    message,
    store_request,
)

OF_ONE_ASSOCIATION = (
    Association, DULServiceProvider, DIMSEServiceProvider, ACSE, StateMachine, DIMSEMessage,
    BufferedSocket, StoreReceiver, IncomingFile, InlineReader, MessageAssembler,
)  # fmt: skip
ASSOCIATIONS = 10
DATA = bytes(100_000)

End = Callable[[Sequence[RawPeer]], None]


def alive() -> list[object]:
    """The objects of associations that there are."""
    return [each for each in gc.get_objects() if issubclass(type(each), OF_ONE_ASSOCIATION)]


def born_since(others: Sequence[object]) -> Counter[str]:
    """How many objects of associations there are besides others, which another test may keep.

    `others` are held here, not only their ids, so that none of those can be given anew.
    """
    known = {id(each) for each in others}
    return Counter(type(each).__name__ for each in alive() if id(each) not in known)


def one_object(number: int) -> bytes:
    return message(store_request(instance=f"1.2.3.{number}"), DATA)


def say_nothing(peers: Sequence[RawPeer]) -> None:
    pass


def release(peers: Sequence[RawPeer]) -> None:
    for peer in peers:
        peer.associate()
    for peer in peers:
        peer.send(RELEASE_RQ)
        assert peer.receive()[0] == 6


def store_and_release(peers: Sequence[RawPeer]) -> None:
    for number, peer in enumerate(peers):
        peer.associate()
        peer.send(one_object(number))
        assert peer.status() == 0
        peer.send(RELEASE_RQ)
        assert peer.receive()[0] == 6


def verify_and_release(peers: Sequence[RawPeer]) -> None:
    for peer in peers:
        peer.associate()
        peer.send(message(echo_request(), None))
        peer.receive()
        peer.send(RELEASE_RQ)


def abort_half_way(peers: Sequence[RawPeer]) -> None:
    for number, peer in enumerate(peers):
        peer.associate()
        peer.send(one_object(number)[:50_000])
        peer.send(ABORT)


def vanish_half_way(peers: Sequence[RawPeer]) -> None:
    for number, peer in enumerate(peers):
        peer.associate()
        peer.send(one_object(number)[:50_000])
        peer.reset()


def break_the_protocol(peers: Sequence[RawPeer]) -> None:
    for peer in peers:
        peer.associate()
        peer.send(bytes(range(50, 150)) * 100)
        assert peer.closed()


def be_turned_away(peers: Sequence[RawPeer]) -> None:
    for peer in peers:
        peer.send(b"GET / HTTP/1.1\r\nHost: node\r\n\r\n")
        assert peer.closed()


ENDS: Sequence[End] = (
    say_nothing, release, store_and_release, verify_and_release, abort_half_way, vanish_half_way,
    break_the_protocol, be_turned_away,
)  # fmt: skip


@pytest.fixture
def no_collector() -> Iterator[None]:
    """Only what nothing refers to goes away; a cycle would stay."""
    logging.disable(logging.CRITICAL)  # pytest keeps the tracebacks that pynetdicom logs
    gc.collect()
    gc.disable()
    yield
    gc.enable()
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.__name__)
@pytest.mark.parametrize("reader", ["inline", "stock"])
def test_nothing_of_an_association_outlives_it(
    reader: Reader, end: End, tmp_path: Path, no_collector: None
) -> None:
    intake = RecordingIntake(Spool(tmp_path / "spool"))
    admission = Admission(ae_titles=["DENOISE"], accept_any=True, max_per_peer=ASSOCIATIONS)
    server = Server("DENOISE", "127.0.0.1", 0, admission, intake, intake.spool, reader=reader)
    others = alive()
    with server:
        before = threading.active_count()
        with ExitStack() as stack:
            end([stack.enter_context(RawPeer(server.port)) for _ in range(ASSOCIATIONS)])
        eventually(lambda: not server._associations.connections, 60)
        eventually(lambda: threading.active_count() == before, 60)
        assert born_since(others) == Counter()


def test_a_silent_connection_holds_no_buffer_for_objects(tmp_path: Path) -> None:
    intake = RecordingIntake(Spool(tmp_path / "spool"))
    admission = Admission(ae_titles=["DENOISE"], accept_any=True)
    with (
        Server("DENOISE", "127.0.0.1", 0, admission, intake, intake.spool) as server,
        RawPeer(server.port) as peer,
    ):
        peer.associate()
        (association,) = server._associations.connections
        connection = association.dul.socket
        assert isinstance(connection, BufferedSocket)
        assert connection.held < 10_000
        peer.send(one_object(1))
        assert peer.status() == 0
        assert connection.held > 100_000


def test_after_a_burst_somebody_may_tidy_up_and_not_after_each_association(tmp_path: Path) -> None:
    intake = RecordingIntake(Spool(tmp_path / "spool"))
    admission = Admission(ae_titles=["DENOISE"], accept_any=True)
    tidied: list[int] = []
    with Server(
        "DENOISE", "127.0.0.1", 0, admission, intake, intake.spool,
        after_burst=lambda: tidied.append(len(server._associations.connections)),
    ) as server:  # fmt: skip
        for count in (1, BURST, 1):
            with ExitStack() as stack:
                peers = [stack.enter_context(RawPeer(server.port)) for _ in range(count)]
                release(peers)
            eventually(lambda: not server._associations.connections, 60)
    assert tidied == [0]

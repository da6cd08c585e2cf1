"""What is agreed on before the first object."""

from __future__ import annotations

import struct

import pytest
from pynetdicom import AE, build_role
from pynetdicom.pdu_primitives import UserIdentityNegotiation

from tests.support.reception import DATA, Start, associated
from tests.support.wire import (
    CT,
    ECHO,
    EXPLICIT,
    IMPLICIT,
    RawPeer,
    RecordingIntake,
    associate_request,
    message,
    store_request,
)

MPEG4 = "1.2.840.10008.1.2.4.102"
HTJ2K = "1.2.840.10008.1.2.4.201"
JPEG = "1.2.840.10008.1.2.4.50"


def test_each_context_gets_the_peers_best_syntax(start: Start, intake: RecordingIntake) -> None:
    ae = AE()
    ae.add_requested_context(CT, [EXPLICIT, IMPLICIT])
    ae.add_requested_context("1.2.840.10008.5.1.4.1.1.7", [JPEG, IMPLICIT])
    ae.add_requested_context("1.2.840.10008.5.1.4.1.1.77.1.4.1", [MPEG4])
    ae.add_requested_context("1.2.840.113619.4.26", ["1.2.840.113619.5.2"])
    ae.add_requested_context("1.2.840.10008.5.1.4.31", [IMPLICIT])
    ae.add_requested_context(ECHO, [EXPLICIT, IMPLICIT])
    association = associated(start(), ae)
    accepted = {c.abstract_syntax: c.transfer_syntax[0] for c in association.accepted_contexts}
    association.release()
    assert accepted == {
        CT: EXPLICIT,
        "1.2.840.10008.5.1.4.1.1.7": IMPLICIT,
        "1.2.840.10008.5.1.4.1.1.77.1.4.1": MPEG4,
        "1.2.840.113619.4.26": "1.2.840.113619.5.2",
        ECHO: EXPLICIT,
    }
    assert [c.abstract_syntax for c in association.rejected_contexts] == ["1.2.840.10008.5.1.4.31"]


@pytest.mark.parametrize("syntax", ["1.2\0.3", "../../x", "1.2 ; DROP"])
def test_a_transfer_syntax_that_is_no_uid_is_not_accepted(
    start: Start, intake: RecordingIntake, syntax: str
) -> None:
    with RawPeer(start().port) as peer:
        peer.associate(contexts=[(1, CT, (syntax,)), (3, CT, (syntax, EXPLICIT))])
        peer.send(message(store_request(), DATA, context=3))
        assert peer.status() == 0
        peer.send(message(store_request(instance="1.2.9"), DATA, context=1))
        assert peer.closed()
    assert [received.transfer_syntax_uid for received, _ in intake.stored] == [EXPLICIT]


def test_one_class_in_many_contexts_keeps_the_syntax_of_each(
    start: Start, intake: RecordingIntake
) -> None:
    syntaxes = {1: IMPLICIT, 3: EXPLICIT, 5: JPEG, 7: HTJ2K, 9: EXPLICIT}
    with RawPeer(start().port) as peer:
        peer.associate(contexts=[(number, CT, (one,)) for number, one in syntaxes.items()])
        for number in syntaxes:
            peer.send(message(store_request(instance=f"1.2.{number}"), DATA, context=number))
            assert peer.status() == 0
    assert [received.transfer_syntax_uid for received, _ in intake.stored] == [*syntaxes.values()]


def test_all_128_contexts_of_a_storescu(start: Start, intake: RecordingIntake) -> None:
    contexts = [(2 * i + 1, f"1.2.840.10008.5.1.4.1.1.{i + 1000}", (IMPLICIT,)) for i in range(128)]
    with RawPeer(start().port) as peer:
        peer.send(associate_request(contexts))
        kind, body = peer.receive()
        assert kind == 2
        assert body.count(IMPLICIT.encode()) == 128
        sop_class = contexts[-1][1]
        peer.send(message(store_request(sop_class=sop_class), DATA, context=255))
        assert peer.status() == 0
    assert intake.stored[0][0].sop_class_uid == sop_class


@pytest.mark.parametrize("roles", [(True, False), (True, True), (False, True)])
def test_role_selection_does_not_hinder(
    start: Start, intake: RecordingIntake, roles: tuple[bool, bool]
) -> None:
    ae = AE()
    ae.add_requested_context(CT, IMPLICIT)
    role = build_role(CT, scu_role=roles[0], scp_role=roles[1])
    association = associated(start(), ae, ext_neg=[role])
    assert association.is_established
    assert len(association.accepted_contexts) == 1
    association.release()


def test_user_identity_is_read_over(start: Start, intake: RecordingIntake) -> None:
    identity = UserIdentityNegotiation()
    identity.user_identity_type = 2
    identity.primary_field = b"user"
    identity.secondary_field = b"word"
    identity.positive_response_requested = True
    ae = AE()
    ae.add_requested_context(CT, IMPLICIT)
    association = associated(start(), ae, ext_neg=[identity])
    assert association.is_established
    association.release()


def test_asynchronous_operations_are_not_granted(start: Start, intake: RecordingIntake) -> None:
    window = struct.pack(">BBHHH", 0x53, 0, 4, 0, 0)
    with RawPeer(start().port) as peer:
        peer.associate(extra=window)
        peer.send(message(store_request(), DATA))
        assert peer.status() == 0

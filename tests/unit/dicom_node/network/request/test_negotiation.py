"""What is proposed, and what is used of what was accepted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import (
    CTImageStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
    SecondaryCaptureImageStorage,
)

from dicom_node.network.request.answers import Outgoing
from dicom_node.network.request.negotiation import Choice, Refusal, choose, propose
from dicom_node.spool.stored import ObjectKind, StoredObject


def outgoing(sop_class: str = CTImageStorage, syntax: str = ExplicitVRLittleEndian) -> Outgoing:
    return Outgoing(
        1, StoredObject(ObjectKind.RESULT, sop_class, "1.2.3", syntax, "", None), Path("x.dcm")
    )


def test_the_stored_syntax_has_a_context_of_its_own() -> None:
    (proposal,) = propose([outgoing(syntax=JPEG2000Lossless), outgoing()])
    proposed = [context.transfer_syntaxes for context in proposal.contexts]
    assert (JPEG2000Lossless,) in proposed
    assert (ExplicitVRLittleEndian,) in proposed
    assert (ExplicitVRLittleEndian, ImplicitVRLittleEndian) in proposed
    assert [context.context_id for context in proposal.contexts] == [1, 3, 5, 7]


def test_the_default_syntax_is_proposed_for_every_class() -> None:
    (proposal,) = propose([outgoing(), outgoing(SecondaryCaptureImageStorage)])
    offering = {
        context.abstract_syntax
        for context in proposal.contexts
        if ImplicitVRLittleEndian in context.transfer_syntaxes
    }
    assert offering == {CTImageStorage, SecondaryCaptureImageStorage}


@given(
    st.lists(
        st.tuples(st.integers(0, 150), st.sampled_from([ExplicitVRLittleEndian, RLELossless])),
        max_size=300,
    )
)
def test_no_association_has_more_than_128_contexts_and_none_is_lost(
    kinds: list[tuple[int, str]],
) -> None:
    batch = [
        replace(outgoing(f"1.2.{kind}", syntax), delivery_id=at)
        for at, (kind, syntax) in enumerate(kinds)
    ]
    proposals = propose(batch)
    assert all(len(proposal.contexts) <= 128 for proposal in proposals)
    assert sorted(one.delivery_id for p in proposals for one in p.batch) == list(range(len(batch)))
    for proposal in proposals:
        ids = [one.delivery_id for one in proposal.batch]
        assert ids == sorted(ids)
        offered = {context.abstract_syntax for context in proposal.contexts}
        assert {one.result.sop_class_uid for one in proposal.batch} <= offered


def test_the_order_of_preference() -> None:
    one = outgoing(syntax=RLELossless)
    (proposal,) = propose([one])
    own, plain, lossless = (context.context_id for context in proposal.contexts)
    everything = {
        own: (0, RLELossless),
        plain: (0, ImplicitVRLittleEndian),
        lossless: (0, JPEGLSLossless),
    }
    assert choose(one, proposal.contexts, everything) == (
        Choice(own, RLELossless),
        Choice(plain, ImplicitVRLittleEndian),
        Choice(lossless, JPEGLSLossless),
    )


def test_a_syntax_that_was_not_proposed_is_not_used() -> None:
    one = outgoing()
    (proposal,) = propose([one])
    lying = {context.context_id: (0, "1.2.840.10008.1.2.4.50") for context in proposal.contexts}
    found = choose(one, proposal.contexts, lying)
    assert isinstance(found, Refusal)
    assert not found.final


def test_what_was_not_accepted_says_why_and_what_to_do() -> None:
    one = outgoing()
    (proposal,) = propose([one])
    found = choose(one, proposal.contexts, {c.context_id: (3, "") for c in proposal.contexts})
    assert isinstance(found, Refusal)
    assert found.final
    assert CTImageStorage in found.message
    assert "CT Image Storage" in found.message
    assert "does not support the SOP class" in found.message
    assert "accept this SOP class" in found.message


def test_no_reason_given_is_not_final() -> None:
    one = outgoing()
    (proposal,) = propose([one])
    found = choose(one, proposal.contexts, {c.context_id: (2, "") for c in proposal.contexts})
    assert isinstance(found, Refusal)
    assert not found.final

"""Which presentation contexts to propose, and which of the accepted ones to use.

For each SOP class the node proposes, in contexts of their own, each transfer syntax in which it
holds instances; then the uncompressed ones; then the lossless ones that it can write. A peer
picks one transfer syntax a context (PS3.8 9.3.3.2), so the first lets it take the bytes as they
are, and the others say what else would do.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from dicom_node.network.request.answers import Outgoing
from dicom_node.network.request.association import MAX_CONTEXTS, ProposedContext, numbered

UNCOMPRESSED: Final[tuple[str, ...]] = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)
"""Transfer syntaxes to fall back on, the preferred first."""

LOSSLESS: Final[tuple[str, ...]] = (JPEGLSLossless, JPEG2000Lossless, RLELossless)
"""Compressed transfer syntaxes that we can write, for a peer that takes nothing else."""

_ACCEPTED: Final = 0
_FINAL_RESULTS: Final = frozenset({3, 4})
_RESULT_WORDS: Final = {
    1: "it rejected the proposal without saying why",
    2: "it gave no reason",
    3: "it does not support the SOP class",
    4: "it supports none of the transfer syntaxes",
}


@dataclass(frozen=True, slots=True)
class Choice:
    """The presentation context in which to send an instance, and its transfer syntax."""

    context_id: int
    transfer_syntax_uid: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an instance cannot be sent over this association.

    Attributes
    ----------
    message
        Names the SOP class, the reason and the remedy.
    final
        Whether the peer said that it will stay so (results 3 and 4 of PS3.8 Table 9-18).
    """

    message: str
    final: bool


@dataclass(frozen=True, slots=True)
class Proposal:
    """One association: what to propose, and the instances it is for, in their order."""

    contexts: tuple[ProposedContext, ...]
    batch: tuple[Outgoing, ...]


def propose(batch: Sequence[Outgoing]) -> tuple[Proposal, ...]:
    """Return as few associations as hold the batch, almost always one.

    Parameters
    ----------
    batch : sequence of Outgoing
        Instances of any SOP classes and transfer syntaxes.

    Returns
    -------
    tuple of Proposal
        Each with at most 128 presentation contexts (PS3.8 9.3.2.2).
    """
    held: dict[str, list[str]] = {}
    for one in batch:
        syntaxes = held.setdefault(one.result.sop_class_uid, [])
        if one.result.transfer_syntax_uid not in syntaxes:
            syntaxes.append(one.result.transfer_syntax_uid)
    groups: list[list[tuple[str, tuple[str, ...]]]] = []
    for sop_class, syntaxes in held.items():
        wanted = [(sop_class, one) for one in _contexts_of(syntaxes)]
        if not groups or len(groups[-1]) + len(wanted) > MAX_CONTEXTS:
            groups.append([])
        groups[-1].extend(wanted)
    return tuple(
        Proposal(
            numbered(group),
            tuple(one for one in batch if one.result.sop_class_uid in {name for name, _ in group}),
        )
        for group in groups
    )


def choose(
    outgoing: Outgoing,
    contexts: Iterable[ProposedContext],
    results: Mapping[int, tuple[int, str]],
) -> tuple[Choice, ...] | Refusal:
    """Return the contexts in which the peer takes an instance, the best first.

    Parameters
    ----------
    outgoing : Outgoing
        The instance.
    contexts : iterable of ProposedContext
        What was proposed.
    results : mapping
        Presentation context id -> (result 0-4, accepted transfer syntax or "").

    Returns
    -------
    tuple of Choice or Refusal
        The stored transfer syntax first, then the uncompressed, then the lossless ones. Never
        empty.
    """
    found: dict[str, Choice] = {}
    reasons: set[int] = set()
    for context in contexts:
        if context.abstract_syntax != outgoing.result.sop_class_uid:
            continue
        result, syntax = results.get(context.context_id, (2, ""))
        # A syntax that was not proposed has no standing (PS3.8 9.3.3.2).
        if result == _ACCEPTED and syntax in context.transfer_syntaxes:
            found.setdefault(syntax, Choice(context.context_id, syntax))
        else:
            reasons.add(result if result != _ACCEPTED else 2)
    order = dict.fromkeys((outgoing.result.transfer_syntax_uid, *UNCOMPRESSED, *LOSSLESS))
    usable = tuple(found[syntax] for syntax in order if syntax in found)
    return usable or _not_accepted(outgoing, reasons)


def _contexts_of(stored: Sequence[str]) -> Iterator[tuple[str, ...]]:
    for syntax in stored[: MAX_CONTEXTS - 2]:
        yield (syntax,)
    yield UNCOMPRESSED
    yield LOSSLESS


def _not_accepted(outgoing: Outgoing, reasons: set[int]) -> Refusal:
    uid = UID(outgoing.result.sop_class_uid)
    name = uid.name if uid.name != uid else "private"
    words = "; ".join(_RESULT_WORDS.get(one, f"result {one}") for one in sorted(reasons))
    remedy = (
        "let the destination accept this SOP class for storage, "
        "or give the route another output form"
    )
    return Refusal(
        f"the destination does not accept SOP class {uid} ({name}): {words}; {remedy}",
        final=bool(reasons) and reasons <= _FINAL_RESULTS,
    )

"""The gates as a node's settings have them, and its engine for whoever is to pass them."""

from __future__ import annotations

from dicom_node.ledger.certificates import KeptCertificates
from dicom_node.node import Node
from model_store.ref import ModelName
from model_store.registry import promotion
from model_store.registry.gates import Candidate, EngineAsked, EquivalenceGate, Gate
from model_store.store import ModelVersion


def candidate(
    node: Node, version: ModelVersion, alias: ModelName, current: ModelVersion | None = None
) -> Candidate:
    """A version that an alias is to stand for, beside what it stands for now."""
    workers = node.settings.workers
    asked = EngineAsked(workers.engine, workers.precision, workers.engine_threads)
    return Candidate(version, alias, current, asked)


def every(node: Node, who: str) -> tuple[Gate, ...]:
    """All gates of a guarded alias; certificates are made on behalf of `who`."""
    return promotion.gates(
        node.models, KeptCertificates(node.ledger), node.settings.promotion, who,
        unsigned=node.settings.models.accepts_unsigned,
    )  # fmt: skip


def equivalence(node: Node, who: str) -> Gate:
    """The gate that holds this node's engine against the reference, on behalf of `who`."""
    return EquivalenceGate(KeptCertificates(node.ledger), node.settings.promotion, who)


def whole(node: Node, *, retired: bool = False) -> tuple[Gate, ...]:
    """The gates that look only at whether a version is what was released, and may be used."""
    return promotion.whole(
        node.models, unsigned=node.settings.models.accepts_unsigned, retired=retired
    )

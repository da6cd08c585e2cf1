"""What a model version must show before a guarded alias is moved to it.

Each gate is a small object that looks at one thing and gives a `Verdict`. All gates are asked, so
that a refusal says everything there is to say; only what the firm gates refuse is not run, because
a network that nobody vouches for has no business on this machine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from model_store.errors import ModelStoreError
from model_store.ref import ModelName
from model_store.registry.certificates import Certificates
from model_store.registry.gates import (
    BehaviourGate,
    Candidate,
    Catalogue,
    EquivalenceGate,
    Gate,
    GraphGate,
    MetricsGate,
    PurposeGate,
    SignatureGate,
    StateGate,
    Verdict,
)
from model_store.registry.limits import EquivalenceLimits
from model_store.registry.metric_rules import MetricBounds
from model_store.store import ModelStore, ModelVersion


class PromotionRules(EquivalenceLimits, Protocol):
    """What is asked of a version before a guarded alias is moved to it."""

    @property
    def metrics(self) -> Sequence[MetricBounds]:
        """Rules for the numbers in its manifest."""


def gates(
    models: Catalogue, kept: Certificates, rules: PromotionRules, who: str, *, unsigned: bool
) -> tuple[Gate, ...]:
    """All gates of a guarded alias, in the order in which they are asked."""
    return (
        *whole(models, unsigned=unsigned),
        BehaviourGate(),
        EquivalenceGate(kept, rules, who),
        MetricsGate(rules.metrics),
        PurposeGate(),
    )


def whole(models: Catalogue, *, unsigned: bool, retired: bool = False) -> tuple[Gate, ...]:
    """The gates that look only at whether a version is what was released, and may be used.

    Parameters
    ----------
    models : Catalogue
        Whose trust store and quarantine count.
    unsigned : bool
        Whether versions without a signature are accepted.
    retired : bool
        Whether a retired version may pass.
    """
    return (
        SignatureGate(models, unsigned=unsigned), StateGate(models, retired=retired), GraphGate()
    )  # fmt: skip


def judge(
    asked: Sequence[Gate],
    candidate: Candidate,
    tell: Callable[[str], None] = lambda _: None,
    heard: Callable[[Verdict], None] = lambda _: None,
) -> tuple[Verdict, ...]:
    """Ask every gate; what a firm gate refused is not run any more.

    Parameters
    ----------
    asked : sequence of Gate
        In this order.
    candidate : Candidate
        What is judged.
    tell : callable
        Told the name of each gate before it is asked.
    heard : callable
        Told what each said, as soon as it did.

    Returns
    -------
    tuple of Verdict
        One for each gate, in their order.
    """
    said: list[Verdict] = []
    refused: list[str] = []
    for gate in asked:
        tell(gate.name)
        if gate.runs and refused:
            why = f"not run: refused by {' and '.join(refused)}"
            said.append(Verdict(gate.name, False, why, judged=False))
            heard(said[-1])
            continue
        said.append(gate.judge(candidate))
        heard(said[-1])
        if gate.firm and not said[-1].passed:
            refused.append(gate.name)
    return tuple(said)


def firmly_refused(asked: Sequence[Gate], said: Sequence[Verdict]) -> tuple[str, ...]:
    """Names of the gates that said no and that no reason gets a version past."""
    firm = {gate.name for gate in asked if gate.firm}
    refused = (each for each in said if each.judged and not each.passed)
    return tuple(each.gate for each in refused if each.gate in firm)


def open_version(models: Catalogue, name: ModelName) -> ModelVersion:
    """A version as its manifest states it, also one that may not be used; for gates to look at.

    Raises
    ------
    UnknownModelError
        If there is none.
    ManifestError, ModelIntegrityError
        If not even its manifest can be read; if it was changed, it is in quarantine from now on.
    """
    own = (models.folder,) if models.folder.is_dir() else ()
    try:
        return ModelStore(more=own).resolve(name)
    except ModelStoreError:
        models.version(name)  # says more, and puts what was changed into quarantine
        raise


def current_version(models: Catalogue, alias: ModelName) -> ModelVersion | None:
    """What an alias stands for now, None if that is nothing or cannot be read."""
    target = models.aliases().get(alias)
    if target is None:
        return None
    try:
        return open_version(models, target)
    except ModelStoreError:
        return None

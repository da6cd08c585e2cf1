"""Gates: each looks at one thing that a model version must show, and gives a verdict."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

from model_store.engines.base import Engine
from model_store.engines.behaviour import check_behaviour
from model_store.engines.golden import golden_outputs
from model_store.engines.select import Kind, Precision, choose_engine
from model_store.errors import ModelStoreError, QuarantinedError
from model_store.graph import check_graph
from model_store.ref import ModelName
from model_store.registry import metric_rules
from model_store.registry.certificates import Certificates, certified
from model_store.registry.limits import EquivalenceLimits, limit_of, unit_of
from model_store.registry.metric_rules import MetricBounds
from model_store.registry.records import RegisteredVersion
from model_store.store import ModelVersion
from model_store.trust.key import PublicKey
from model_store.trust.quarantine import Quarantine


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one gate said.

    Parameters
    ----------
    gate : str
        Its name.
    passed : bool
        Whether it lets the version through.
    said : str
        What it found and, if it refuses, by how much.
    judged : bool
        Whether it looked at all: what a firm gate refused is not run.
    """

    gate: str
    passed: bool
    said: str
    judged: bool = True

    def entry(self) -> dict[str, str | bool]:
        """The verdict as the history of an alias keeps it."""
        return {"gate": self.gate, "passed": self.passed, "said": self.said}


class Catalogue(Protocol):
    """The model versions of a node, and what it knows of them."""

    @property
    def folder(self) -> Path:
        """Where the node's own versions are."""

    @property
    def quarantine(self) -> Quarantine:
        """The versions that were found changed."""

    def version(self, name: ModelName) -> ModelVersion:
        """Exactly this version, with every byte checked now."""

    def origin(self, version: ModelVersion) -> str:
        """Whether it came with the ``package``, or is in the node's own ``store``."""

    def signer(self, version: ModelVersion) -> PublicKey | None:
        """The trusted key that signed it."""

    def indexed(self) -> Mapping[ModelName, RegisteredVersion]:
        """Every version that was ever registered."""

    def aliases(self) -> Mapping[ModelName, ModelName]:
        """What every alias stands for now."""


@dataclass(frozen=True, slots=True)
class EngineAsked:
    """Which engine a node runs.

    Attributes
    ----------
    kind : str
        As `choose_engine` takes it; so is `precision`.
    precision : str
    threads : int
        Of the engine in one process.
    """

    kind: Kind
    precision: Precision
    threads: int


class Candidate:
    """A version that an alias is to stand for; its engine is built once, when a gate asks.

    Parameters
    ----------
    version : ModelVersion
        As its manifest was read; nothing else of it was looked at.
    alias : ModelName
        What is to be moved.
    current : ModelVersion or None
        What the alias stands for now, if that can be read.
    asked : EngineAsked
        Which engine this node runs.
    """

    def __init__(
        self, version: ModelVersion, alias: ModelName, current: ModelVersion | None,
        asked: EngineAsked,
    ) -> None:  # fmt: skip
        self.version = version
        self.alias = alias
        self.current = current
        self._asked = asked
        self._engine: Engine | None = None
        self._failed: ModelStoreError | None = None

    @property
    def name(self) -> ModelName:
        """``name@version``."""
        return ModelName(self.version.ref.name, self.version.ref.version)

    def engine(self) -> Engine:
        """The engine that this node would run the version on.

        Raises
        ------
        EngineError
            If it cannot be built here; the same each time.
        """
        if self._failed is not None:
            raise self._failed
        if self._engine is None:
            asked = self._asked
            try:
                choice = choose_engine(self.version, asked.kind, asked.precision, asked.threads)
            except ModelStoreError as error:
                self._failed = error
                raise
            self._engine = choice.engine
        return self._engine

    def close(self) -> None:
        """Free the engine, if one was built."""
        if self._engine is not None:
            self._engine.close()
            self._engine = None


class Gate(ABC):
    """Looks at one thing.

    Attributes
    ----------
    name : str
        What refusals and the history call it.
    firm : bool
        Whether no reason, however good, gets a version past it.
    runs : bool
        Whether it runs the network.
    """

    name: ClassVar[str]
    firm: ClassVar[bool] = False
    runs: ClassVar[bool] = False

    def judge(self, candidate: Candidate) -> Verdict:
        """Say whether the version may pass; what goes wrong on the way is a refusal."""
        try:
            return self._judge(candidate)
        except ModelStoreError as error:
            return self._verdict(False, str(error))

    @abstractmethod
    def _judge(self, candidate: Candidate) -> Verdict:
        """Look; may raise `ModelStoreError`."""

    def _verdict(self, passed: bool, said: str) -> Verdict:
        return Verdict(self.name, passed, said)


class SignatureGate(Gate):
    """Every byte is what a trusted key signed, or what the package brought."""

    name = "signature"
    firm = True

    def __init__(self, models: Catalogue, *, unsigned: bool) -> None:
        self._models = models
        self._unsigned = unsigned

    def _judge(self, candidate: Candidate) -> Verdict:
        version = candidate.version
        with suppress(QuarantinedError):  # said by the gate for that; its bytes may be well
            self._models.version(candidate.name)
        files = f"all {len(version.manifest.files)} files are"
        key = self._models.signer(version)
        if key is not None:
            return self._verdict(True, f"signed by {key.name} ({key.key}); {files} as signed")
        version.verify()
        if self._models.origin(version) == "package":
            return self._verdict(True, f"came with the package; {files} as released")
        said = f"not signed; {files} those of the manifest"
        return self._verdict(
            self._unsigned,
            said + ("" if self._unsigned else "; it must be signed by a trusted key"),
        )


class StateGate(Gate):
    """Neither in quarantine nor retired.

    Parameters
    ----------
    models : Catalogue
    retired : bool
        Whether a retired version may pass: it is well, and takes no new work.
    """

    name = "state"
    firm = True

    def __init__(self, models: Catalogue, *, retired: bool = False) -> None:
        self._models = models
        self._retired = retired

    def _judge(self, candidate: Candidate) -> Verdict:
        self._models.quarantine.check(candidate.name)
        row = self._models.indexed().get(candidate.name)
        if row is not None and row.retired_at is not None:
            since = f"{row.retired_at:%Y-%m-%d} by {row.retired_by}"
            return self._verdict(self._retired, f"retired on {since}: {row.retired_why}")
        return self._verdict(True, "neither in quarantine nor retired")


class GraphGate(Gate):
    """The ONNX file is of the kind that an engine is given."""

    name = "graph"
    firm = True

    def _judge(self, candidate: Candidate) -> Verdict:
        graph = check_graph(candidate.version.read())
        nodes = sum(graph.operators.values())
        kinds = ", ".join(sorted(graph.operators))
        return self._verdict(True, f"opset {graph.opset}, {nodes} nodes: {kinds}")


class BehaviourGate(Gate):
    """The network does what its manifest says, on the engine of this node."""

    name = "behaviour"
    firm = True
    runs = True

    def _judge(self, candidate: Candidate) -> Verdict:
        engine = candidate.engine()
        check_behaviour(engine, candidate.version.manifest, golden_outputs(candidate.version))
        return self._verdict(
            True, f"margin, stride, range and output are those of the manifest on {engine.name}"
        )


class EquivalenceGate(Gate):
    """The engine of this node gives what the torch reference gives, within a limit.

    Parameters
    ----------
    kept : Certificates
        Those there are, and where one that is made is kept.
    limits : EquivalenceLimits
        Largest difference of a pixel.
    who : str
        Who has a certificate made, where there is none yet.
    """

    name = "equivalence"
    runs = True

    def __init__(self, kept: Certificates, limits: EquivalenceLimits, who: str) -> None:
        self._kept = kept
        self._limits = limits
        self._who = who

    def _judge(self, candidate: Candidate) -> Verdict:
        limit = limit_of(self._limits, candidate.version.manifest)
        found = certified(
            self._kept, candidate.version, candidate.engine(), limit, self._who
        ).certificate
        units = unit_of(found.units)
        return self._verdict(
            found.largest <= limit,
            f"largest difference {found.largest:.3g} {units}, limit {limit:g} {units} (mean "
            f"{found.mean:.2g}; {found.engine} {found.precision}, {found.images} images, "
            f"{found.at:%Y-%m-%d}; reference: {candidate.version.manifest.reference})",
        )


class MetricsGate(Gate):
    """The manifest's numbers keep the rules of ``[promotion] metrics``."""

    name = "metrics"

    def __init__(self, rules: Sequence[MetricBounds]) -> None:
        self._rules = rules

    def _judge(self, candidate: Candidate) -> Verdict:
        manifest = candidate.version.manifest
        rules = [rule for rule in self._rules if metric_rules.applies(rule, manifest)]
        if not rules:
            return self._verdict(True, "no rule of [promotion] metrics is for this version")
        found = [each for rule in rules for each in metric_rules.held_against(rule, manifest)]
        missed = [each.said for each in found if not each.passed]
        if missed:
            return self._verdict(False, "; ".join(missed))
        nearest = min(found, key=lambda each: each.room)
        return self._verdict(True, f"{len(found)} numbers within bounds; nearest: {nearest.said}")


class PurposeGate(Gate):
    """It is for the same kind of image as what the alias stands for now."""

    name = "purpose"

    def _judge(self, candidate: Candidate) -> Verdict:
        new = candidate.version.manifest
        if candidate.current is None:
            return self._verdict(True, f"for {', '.join(new.modality)}")
        old = candidate.current.manifest
        here, there = ", ".join(new.modality), ", ".join(old.modality)
        if old.input.units == new.input.units and not set(old.modality).isdisjoint(new.modality):
            return self._verdict(True, f"for {here}, as {candidate.current.ref} is for {there}")
        return self._verdict(
            False,
            f"{candidate.alias} stands for {candidate.current.ref}, which is for {there} "
            f"({old.input.units}); {candidate.name} is for {here} ({new.input.units})",
        )

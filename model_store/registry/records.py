"""What the model registry knows: registered versions, moves of aliases, certificates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from model_store.ref import ModelName

SHADOW: Final = "shadow"
"""The alias that a label's shadow version has: ``ct-default@shadow``."""


@dataclass(frozen=True, slots=True)
class RegisteredVersion:
    """One model version as the ledger knows it.

    Attributes
    ----------
    name, version, onnx_sha256, manifest_sha256, system : str
        What was registered; `system` is the manifest's.
    origin : {"package", "store"}
        Whether it came with the package, or is in the node's own store.
    signed_by : str or None
        Id of the key that signed it.
    added_at, added_by
        When, in UTC, and by whom.
    retired_at, retired_by, retired_why
        None while it takes new work.
    """

    name: str
    version: str
    onnx_sha256: str
    manifest_sha256: str
    system: str
    origin: str
    signed_by: str | None
    added_at: datetime
    added_by: str
    retired_at: datetime | None = None
    retired_by: str | None = None
    retired_why: str | None = None

    @property
    def target(self) -> ModelName:
        """``name@version``."""
        return ModelName(self.name, self.version)


@dataclass(frozen=True, slots=True)
class Move:
    """One move of an alias.

    Attributes
    ----------
    alias : ModelName
        ``label@tag``.
    serial : int
        1 for the first move of this alias, then 2, 3, ...
    target, previous : ModelName or None
        What it stands for since, and what it stood for before; None: nothing.
    action : {"promote", "rollback", "shadow", "remove", "set"}
        What the person did.
    at, who, why
        When, in UTC, who it was, and the reason given.
    forced : bool
        Whether a gate said no.
    gates : tuple of mapping
        ``gate``, ``passed`` and ``said`` of every gate that was asked.
    share : float or None
        Of a shadow: share of the batches that it sees, 0 to 1.
    """

    alias: ModelName
    serial: int
    target: ModelName | None
    previous: ModelName | None
    action: str
    at: datetime
    who: str
    why: str
    forced: bool = False
    gates: tuple[Mapping[str, Any], ...] = ()
    share: float | None = None

    def entry(self) -> dict[str, Any]:
        """The move as plain JSON values, for a history file; `of_entry` reads it."""
        return {
            "alias": str(self.alias), "serial": self.serial, "target": _text(self.target),
            "previous": _text(self.previous), "action": self.action, "at": self.at.isoformat(),
            "who": self.who, "why": self.why, "forced": self.forced,
            "gates": [dict(gate) for gate in self.gates], "share": self.share,
        }  # fmt: skip

    @classmethod
    def of_entry(cls, entry: Mapping[str, Any]) -> Move:
        """The move that `entry` wrote.

        Raises
        ------
        KeyError, TypeError, ValueError
            If it is not one.
        """
        return cls(
            alias=ModelName.parse(entry["alias"]), serial=int(entry["serial"]),
            target=_name(entry["target"]), previous=_name(entry["previous"]),
            action=str(entry["action"]), at=datetime.fromisoformat(entry["at"]),
            who=str(entry["who"]), why=str(entry["why"]), forced=bool(entry["forced"]),
            gates=tuple(dict(gate) for gate in entry["gates"]), share=entry["share"],
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Certificate:
    """What an engine on a device gave beside the torch reference, on a version's own images.

    Attributes
    ----------
    name, version, onnx_sha256, manifest_sha256 : str
        Which bytes were run.
    engine, precision, device : str
        What ran them.
    library : mapping
        Names of libraries to their versions.
    images : int
        How many were compared.
    largest, mean, rms : float
        Differences over all pixels, in `units`: greatest, mean and root of mean square.
    limit : float
        What `largest` may be.
    units : str
        ``HU`` or ``grey``.
    passed : bool
        Whether it was within the limit.
    at, who
        When, in UTC, and by whom.
    """

    name: str
    version: str
    onnx_sha256: str
    manifest_sha256: str
    engine: str
    precision: str
    device: str
    library: Mapping[str, str]
    images: int
    largest: float
    mean: float
    rms: float
    limit: float
    units: str
    passed: bool
    at: datetime
    who: str


@dataclass(frozen=True, slots=True)
class Measure:
    """One image that a shadow version ran on, or why it could not.

    Parameters
    ----------
    batch_id, work_item_id : int
        What the image belongs to.
    route : str
    alias : str
        Label that the shadow stands beside, such as ``ct-default``.
    series_uid : str
        Series of the source.
    production, shadow : str
        ``name@version`` of what delivered, and of what did not.
    strength_production, strength_shadow : float, optional
        At which each ran; None of rows from before they were kept.
    noise_input, noise_production, noise_shadow : float, optional
        Standard deviation in flat windows, in `units`; None where the image has none.
    bias : float, optional
        Mean in these windows of the shadow's pixels minus the production's, in `units`.
    rms_difference, largest_difference : float, optional
        Between shadow and production over all pixels, in `units`.
    seconds_production, seconds_shadow : float, optional
        Time of the network for this image; None where it would not be comparable.
    units : str, optional
        ``HU`` or ``grey levels of 12 bits``.
    error : str, optional
        Why the shadow gave nothing; the measurements are then None.
    """

    batch_id: int
    work_item_id: int | None
    route: str
    alias: str
    series_uid: str
    production: str
    shadow: str
    strength_production: float | None = None
    strength_shadow: float | None = None
    noise_input: float | None = None
    noise_production: float | None = None
    noise_shadow: float | None = None
    bias: float | None = None
    rms_difference: float | None = None
    largest_difference: float | None = None
    seconds_production: float | None = None
    seconds_shadow: float | None = None
    units: str | None = None
    error: str | None = None


def before(moves: Sequence[Move]) -> ModelName | None:
    """What a rollback takes an alias back to, the first of `earlier`; None if there is nothing."""
    return next(iter(earlier(moves)), None)


def earlier(moves: Sequence[Move]) -> tuple[ModelName, ...]:
    """What an alias stood for before what it stands for now, the latest first.

    A rollback takes its version off the pile, so that a second one goes further back rather than
    forth again.

    Parameters
    ----------
    moves : sequence of Move
        All of one alias, in order.
    """
    pile: list[ModelName | None] = []
    for each in moves:
        if not pile:
            pile.append(each.previous)
        if each.action == "rollback" and each.target in pile:
            while pile[-1] != each.target:
                pile.pop()
        else:
            pile.append(each.target)
    current = pile[-1] if pile else None
    back = dict.fromkeys(one for one in reversed(pile) if one is not None and one != current)
    return tuple(back)


def _text(name: ModelName | None) -> str | None:
    return None if name is None else str(name)


def _name(text: str | None) -> ModelName | None:
    return None if text is None else ModelName.parse(text)

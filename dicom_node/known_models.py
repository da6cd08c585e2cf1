"""What ledger and alias files say of models, read together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from model_store.errors import UnknownModelError
from model_store.ref import ModelName
from model_store.registry.records import Move, RegisteredVersion


@dataclass(frozen=True, slots=True)
class KnownModels:
    """Aliases and versions at one moment.

    Attributes
    ----------
    files : mapping of ModelName to ModelName
        What alias files say; it counts for aliases that were never moved.
    moves : mapping of ModelName to Move
        The last move of each alias.
    indexed : mapping of ModelName to Indexed
        Every version that was ever registered.
    """

    files: Mapping[ModelName, ModelName]
    moves: Mapping[ModelName, Move]
    indexed: Mapping[ModelName, RegisteredVersion]

    def target(self, name: ModelName) -> ModelName | None:
        """The version that an alias stands for, `name` itself if it is a version."""
        if name.is_version:
            return name
        move = self.moves.get(name)
        return self.files.get(name) if move is None else move.target

    def required(self, name: ModelName) -> ModelName:
        """The same, where there must be one.

        Raises
        ------
        UnknownModelError
            The alias stands for nothing; the message says since when, or what there is.
        """
        target = self.target(name)
        if target is not None:
            return target
        move = self.moves.get(name)
        if move is not None:
            raise UnknownModelError(
                f"alias {name} was removed on {move.at:%Y-%m-%d} by {move.who} ({move.why}); "
                "promote a version to it, or name another in the route"
            )
        there = ", ".join(sorted({str(each) for each in (*self.files, *self.moves)}))
        raise UnknownModelError(f"no alias {name}; there is {there or 'none'}")

"""All that is known of one model version, gathered from its files and from measurements."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from model_store.errors import DataError
from model_store.file_names import RECIPE
from model_store.manifest import Manifest, Validity
from model_store.reports.advice import Advice
from model_store.reports.beside import beside
from model_store.reports.losses import Points, read_losses
from model_store.reports.published import Publication, publication_of
from model_store.reports.sweep import Sweep
from model_store.store import ModelVersion
from model_store.training.log import LOG
from model_store.training.pairs.facts import sentence
from model_store.training.recipe import Recipe

Table = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Findings:
    """What a page is made from.

    Parameters
    ----------
    manifest : Manifest
        Of the version.
    recipe : Recipe or None
        What it was trained by, if that is beside the manifest.
    headline : mapping
        Group of held-out images to scores; empty if not measured.
    tables : sequence of mapping
        Tables of the evaluation.
    physics : mapping or None
        Results on phantoms.
    losses : mapping
        Curves of the training, by name.
    validity : Validity or None
        The sweep over noise levels.
    margin : str
        What the evaluation says of the margin over filters and the publication's.
    """

    manifest: Manifest
    recipe: Recipe | None = None
    headline: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    tables: Sequence[Table] = ()
    physics: Mapping[str, Any] | None = None
    losses: Mapping[str, Points] = field(default_factory=dict)
    validity: Validity | None = None
    margin: str = ""

    @classmethod
    def of(
        cls,
        version: ModelVersion,
        *,
        results: Path | None = None,
        physics: Path | None = None,
        log: Path | None = None,
    ) -> Findings:
        """Gather what is beside the manifest and in the files given.

        Parameters
        ----------
        version : ModelVersion
            The version.
        results : Path, optional
            JSON of ``model-store evaluate --out``; without it the manifest's summary.
        physics : Path, optional
            JSON of ``model-store physics --out``; without it what the manifest has, if anything.
        log : Path, optional
            Log of the training run, or its folder.

        Raises
        ------
        DataError
            If a file cannot be read or is not what it should be.
        RecipeError
            If the recipe beside the manifest is malformed.
        """
        metrics: Mapping[str, Any] = version.manifest.metrics
        evaluated = {"summary": metrics} if results is None else _json(results, "evaluate")
        summary = evaluated.get("summary")
        if not isinstance(summary, Mapping):
            raise DataError(f"{results}: has no summary; is it of model-store evaluate --out?")
        if physics is not None and version.manifest.input.units != "HU":
            raise DataError(f"{version.ref} is no CT model: {physics} cannot be of it")
        measured = metrics.get("physics") if physics is None else _json(physics, "physics")
        recipe, known_log = version.folder / RECIPE, version.folder / LOG
        source = log or (known_log if known_log.is_file() else None)
        return cls(
            version.manifest,
            Recipe.read(recipe) if recipe.is_file() else None,
            summary.get("headline") or {},
            tuple(table for table in summary.get("tables") or () if table.get("rows")),
            measured,
            {} if source is None else read_losses(source),
            _validity(evaluated, results) or version.manifest.validity,
            str(summary.get("margin") or ""),
        )

    @property
    def publication(self) -> Publication | None:
        """The work that the system follows."""
        return publication_of(self.manifest.system, self.recipe)

    @property
    def pairs(self) -> str:
        """What it was trained on, if on pairs; empty if not, or not known."""
        numbers = (self.manifest.metrics.get("training") or {}).get("pairs")
        return sentence(numbers) if numbers else ""

    @property
    def beside(self) -> Table:
        """Ours in the shape of the publication's table."""
        return beside(self.headline, self.tables)

    @property
    def comparable(self) -> str:
        """The group that repeats the setting of the publication's table; empty if none does."""
        condition = "" if self.publication is None else self.publication.condition
        return next(
            (name for name in self.headline if condition and name.startswith(condition)), ""
        )

    @property
    def sweep(self) -> Sweep | None:
        """Over which inputs it helps: as the manifest states it, or else from the tables."""
        if self.validity is not None:
            return Sweep.stated(self.validity)
        return Sweep.tabled(self.manifest, self.tables)

    @property
    def advice(self) -> Advice:
        """In plain words."""
        return Advice.of(self.manifest, self.headline, self.tables, self.sweep, self.physics)


def _validity(evaluated: Mapping[str, Any], origin: Path | None) -> Validity | None:
    """The sweep of an evaluation that has just been made."""
    stated = evaluated.get("validity")
    if stated is None:
        return None
    try:
        return Validity.model_validate(stated)
    except ValidationError as error:
        raise DataError(f"{origin}: validity: {error}") from error


def _json(path: Path, command: str) -> Mapping[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise DataError(f"{path}: not JSON: {error}") from error
    if not isinstance(content, dict):
        raise DataError(f"{path}: not what model-store {command} --out writes")
    return content

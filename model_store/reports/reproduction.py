"""All arms of a publication: trained after each other, then measured and shown together."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import torch

from model_store.errors import DataError, RecipeError
from model_store.training.checkpoint import AVERAGE, Checkpoint
from model_store.training.loop import OnProgress
from model_store.training.pairs.section import PairsData
from model_store.training.precision import PrecisionChoice
from model_store.training.recipe import CtData, Recipe
from model_store.training.recipe_file import dump_toml, merged, parse_toml, read_toml, shipped
from model_store.training.run import train
from model_store.training.validation import Distance

_KEPT = ("name", "version", "generator")


@dataclass(frozen=True, slots=True)
class ReproductionPlan:
    """What is to be trained for a publication.

    Parameters
    ----------
    name : str
        As commands name it.
    reads : str
        The publication.
    recipes : tuple of str
        Shipped recipes, in order of training.
    paper : tuple of str
        The same with the publication's settings; none where it states none.
    """

    name: str
    reads: str
    recipes: tuple[str, ...]
    paper: tuple[str, ...]

    @classmethod
    def named(cls, name: str) -> ReproductionPlan:
        """The publication of that name.

        Raises
        ------
        DataError
            If there is none.
        """
        found = publications()
        if name not in found:
            raise DataError(f"{name}: no such publication: there are {', '.join(found)}")
        return found[name]


def publications() -> dict[str, ReproductionPlan]:
    """All publications, by name."""
    text = resources.files("model_store.reports").joinpath("publications.toml").read_text("utf-8")
    return {
        name: ReproductionPlan(
            name, item["reads"], tuple(item["recipes"]), tuple(item.get("paper", ()))
        )
        for name, item in tomllib.loads(text).items()
    }


@dataclass(frozen=True, slots=True)
class Reproduction:
    """A publication's arms in a folder: ``recipes``, ``runs``, ``cache``.

    Parameters
    ----------
    publication : ReproductionPlan
        Which.
    folder : Path
        Where; what is done there already is not done again.
    data : Path
        Folder that sources are relative to.
    weights : Path, optional
        Folder of ImageNet weights, for perceptual losses and distances.
    """

    publication: ReproductionPlan
    folder: Path
    data: Path
    weights: Path | None = None

    def recipes(
        self, *, paper: bool = False, iterations: int | None = None, own: Path | None = None
    ) -> list[Path]:
        """Write the arms' recipes into the folder.

        Parameters
        ----------
        paper : bool
            Those with the publication's settings.
        iterations : int, optional
            For all of them but those that train nothing, with a dozen validations in it.
        own : Path, optional
            TOML whose tables replace the recipes' keys: ``[data]`` for own images, ``[training]``.

        Raises
        ------
        DataError
            If the publication states no settings.
        RecipeError
            If a recipe does not fit what is to replace its keys.
        """
        publication = self.publication
        if paper and not publication.paper:
            raise DataError(f"{publication.name}: {publication.reads}: no settings are published")
        return [
            self._write(name, iterations, _own(own))
            for name in (publication.paper if paper else publication.recipes)
        ]

    def refuse_without_gpu(self) -> None:
        """Refuse the publication's own numbers of iterations where they would take months.

        Raises
        ------
        DataError
            If there is no GPU.
        """
        if self.publication.paper and not torch.cuda.is_available():
            raise DataError(
                f"{self.publication.name}: the publication's settings need a GPU, and there is "
                "none here; --iterations N tries them with few"
            )

    def check(self, recipe: Path) -> None:
        """Find what a recipe holds out before anything is trained.

        Raises
        ------
        DataError
            If a file or folder that is held out is not there.
        """
        wanted = Recipe.read(recipe).data
        if isinstance(wanted, PairsData):
            return
        for name in wanted.held_out:
            if isinstance(wanted, CtData):
                found = (self.data / name).exists()
            else:
                folders = {self.data / source.folder for source in wanted.sources}
                found = any((folder / name).exists() for folder in folders)
            if not found:
                raise DataError(f"{name}: is held out, and is not there: nothing would be")

    def train(
        self,
        recipe: Path,
        *,
        precision: PrecisionChoice | None = None,
        distance: Distance | None = None,
        report: OnProgress | None = None,
        said: Callable[[str], object] = str,
    ) -> Path:
        """Train one arm, or go on with it; the run's folder.

        Raises
        ------
        RecipeError, DataError, TrainingDivergedError
            As `model_store.training.run.train`; a run of another number of iterations is there.
        """
        run = self.folder / "runs" / recipe.stem
        begun = (run / AVERAGE).exists()
        wanted = Recipe.read(recipe)
        if begun:
            progress = Checkpoint.read(run).progress
            if progress.iterations != wanted.training.iterations:
                raise RecipeError(
                    f"{run}: holds a run of {progress.iterations} iterations, not "
                    f"{wanted.training.iterations}: name another folder, or the same number"
                )
            if progress.step >= progress.iterations:
                return run
        train(
            recipe,
            self.data,
            run,
            weights=self.weights,
            resume=begun,
            cache=self.folder / "cache" / wanted.data.kind,
            precision=precision,
            distance=distance,
            report=report,
            said=said,
        )
        return run

    def _write(self, name: str, iterations: int | None, own: dict[str, Any]) -> Path:
        found = shipped(name)
        if found is None:
            raise RecipeError(f"{name}: no such recipe is shipped")
        content = merged(read_toml(*found), own)
        training = content["training"]
        if iterations is not None and training["iterations"]:
            training |= {"iterations": iterations, "validate_every": max(iterations // 12, 1)}
        Recipe.resolve(content, f"{name} with {own}" if own else name)
        path = self.folder / "recipes" / f"{name}.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dump_toml(content), encoding="utf-8")
        return path


def _own(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        content = parse_toml(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: {error}") from error
    if kept := sorted(set(content) & set(_KEPT)):
        raise RecipeError(f"{path}: {', '.join(kept)}: is each arm's own and cannot be replaced")
    return content

"""The weights that a run begins with: those of a run beside it, or of a released version."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from model_store.errors import ModelStoreError, RecipeError
from model_store.file_names import MANIFEST, RECIPE
from model_store.generators.base import tensors
from model_store.manifest import Manifest
from model_store.store import ModelVersion, packaged_zoo
from model_store.training.checkpoint import AVERAGE
from model_store.training.recipe import Recipe
from model_store.weights import trained_weights

ZOO = packaged_zoo()


def load_start(recipe: Recipe, out: Path, zoo: Path) -> dict[str, Tensor]:
    """Averaged weights that `recipe.training.start` names.

    Parameters
    ----------
    recipe : Recipe
        With ``start``: the name of a run's folder beside `out`, or ``name@version``.
    out : Path
        Folder of the run that begins.
    zoo : Path
        Folder of model versions.

    Raises
    ------
    RecipeError
        If there is no such run or version, or its network takes another input.
    """
    name, at, version = (recipe.training.start or "").partition("@")
    folder = zoo / name / version if at else out.parent / name
    path = folder / (MANIFEST if at else AVERAGE)
    if not path.exists():
        remedy = f"install {name}@{version}" if at else f"train {name} first, into {folder}"
        raise RecipeError(f"{recipe.name} starts from {recipe.training.start}: no {path}; {remedy}")
    if at and Manifest.read(path).adopted is not None:
        raise RecipeError(
            f"{recipe.name} starts from {recipe.training.start}, which was trained elsewhere: "
            "there is its graph and no generator that could be trained on"
        )
    before = Recipe.read(folder / RECIPE)
    if before.input != recipe.input:
        raise RecipeError(
            f"{recipe.name} starts from {recipe.training.start}, whose [input] is "
            f"{before.input!r}, not {recipe.input!r}: give both the same"
        )
    return _released(folder) if at else _averaged(path)


def _released(folder: Path) -> dict[str, Tensor]:
    try:
        weights = trained_weights(ModelVersion.open(folder))
    except ModelStoreError as error:
        raise RecipeError(f"{folder}: cannot be read: {error}") from error
    return tensors(weights)


def _averaged(path: Path) -> dict[str, Tensor]:
    try:
        state: dict[str, Tensor] = load_file(path)
    except (OSError, SafetensorError) as error:
        raise RecipeError(f"{path}: cannot be read: {error}") from error
    return state

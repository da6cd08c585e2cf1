"""The weights that a run begins with: those of a run beside it, or of a released version."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

import model_store
from model_store.errors import RecipeError
from model_store.training.checkpoint import AVERAGE, WEIGHTS
from model_store.training.recipe import Recipe

ZOO = Path(model_store.__file__).parent / "zoo"
_RECIPE = "recipe.toml"


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
    path = folder / (WEIGHTS if at else AVERAGE)
    if not path.exists():
        remedy = f"install {name}@{version}" if at else f"train {name} first, into {folder}"
        raise RecipeError(f"{recipe.name} starts from {recipe.training.start}: no {path}; {remedy}")
    before = Recipe.read(folder / _RECIPE)
    if before.input != recipe.input:
        raise RecipeError(
            f"{recipe.name} starts from {recipe.training.start}, whose [input] is "
            f"{before.input!r}, not {recipe.input!r}: give both the same"
        )
    try:
        state: dict[str, Tensor] = load_file(path)
    except (OSError, SafetensorError) as error:
        raise RecipeError(f"{path}: cannot be read: {error}") from error
    return state

"""The recipe of a model version, and whose held-out data one without a recipe is measured on."""

from __future__ import annotations

from pathlib import Path

from model_store.errors import DataError
from model_store.file_names import RECIPE
from model_store.manifest import Manifest
from model_store.store import packaged_zoo
from model_store.training.recipe import Recipe
from model_store.training.recipe_file import recipe_path, shipped


def own_recipe(folder: Path, manifest: Manifest) -> Recipe | None:
    """What a version was trained by; None if it was adopted and has none.

    Raises
    ------
    RecipeError
        If the recipe is missing or malformed.
    """
    return None if manifest.adopted is not None else Recipe.read(folder / RECIPE)


def data_recipe(folder: Path, manifest: Manifest, data_of: str | None = None) -> Recipe:
    """The recipe that says what data a version is measured on.

    Its own, unless `data_of` names another: a file, one that is shipped, or the version whose
    recipe it is. Without either, that of the version that an adopted one was said to be like.

    Raises
    ------
    DataError
        If there is none, or it is for other images.
    RecipeError
        If it is malformed.
    """
    own = own_recipe(folder, manifest)
    if own is not None and data_of is None:
        return own
    wanted = data_of or str((manifest.adopted or {}).get("like", ""))
    found = _named(wanted, folder.parents[1]) if wanted else None
    if found is None:
        raise DataError(
            f"{manifest.ref} has no recipe that says what was held out"
            + (f", and there is none of {wanted!r}" if wanted else "")
            + ": name one with --data-of (a file, a shipped recipe, or NAME@VERSION)"
        )
    if found.input.units != manifest.input.units:
        raise DataError(
            f"{manifest.ref} takes {manifest.input.units} and the recipe of {wanted} is for "
            f"{found.input.units}: name one of the same kind of image with --data-of"
        )
    return found


def _named(wanted: str, zoo: Path) -> Recipe | None:
    name, at, version = wanted.partition("@")
    if at:
        places = [root / name / version / RECIPE for root in (zoo, packaged_zoo())]
        return next((Recipe.read(place) for place in places if place.is_file()), None)
    path = recipe_path(Path(wanted))
    if path.is_file():
        return Recipe.read(path)
    known = shipped(wanted)
    return None if known is None else Recipe.read(*known)

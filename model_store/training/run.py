"""One training run: recipe and data in, a folder of checkpoints out."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from model_store.errors import RecipeError
from model_store.generators.base import Generator
from model_store.generators.build import build
from model_store.training.checkpoint import AVERAGE, Checkpoint, Progress
from model_store.training.ct_patches import CtPatches, prepare_ct
from model_store.training.loop import Report, Trainer
from model_store.training.patches import PatchSource
from model_store.training.recipe import CtData, Recipe
from model_store.training.xray_patches import XrayPatches, prepare_xray

RECIPE = "recipe.toml"


def build_generator(recipe: Recipe) -> Generator:
    """Build the recipe's generator with its initial weights, drawn from the recipe's seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.training.seed)
        return build(recipe.generator)


def load_average(run: Path) -> tuple[Recipe, Generator]:
    """Recipe and generator of a run folder, with the averaged weights of its last checkpoint.

    Raises
    ------
    RecipeError
        If the folder holds no run, or its weights are of another generator.
    """
    recipe = Recipe.read(run / RECIPE)
    generator = build_generator(recipe)
    try:
        generator.load_state_dict(load_file(run / AVERAGE))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise RecipeError(f"{run / AVERAGE}: {error}") from error
    generator.eval()
    return recipe, generator


def open_source(recipe: Recipe, data: Path, cache: Path) -> PatchSource:
    """Read the recipe's reference images below `data` and make them a source of patches.

    Raises
    ------
    DataError
        If an image is missing or unreadable.
    """
    section = recipe.training
    if isinstance(recipe.data, CtData):
        slices = prepare_ct(recipe.data, data, cache, section.seed)
        return CtPatches(
            slices,
            recipe.data,
            recipe.input,
            batch=section.batch,
            patch=section.patch,
            seed=section.seed,
        )
    images = prepare_xray(recipe.data, data)
    return XrayPatches(
        images, recipe.data, batch=section.batch, patch=section.patch, seed=section.seed
    )


def train(
    recipe_path: Path,
    data: Path,
    out: Path,
    *,
    budget: float | None = None,
    resume: bool = False,
    cache: Path | None = None,
    report: Report | None = None,
) -> Progress:
    """Train a recipe.

    Parameters
    ----------
    recipe_path : Path
        The recipe, copied into `out`.
    data : Path
        Folder that the recipe's sources are relative to.
    out : Path
        Folder for recipe and checkpoints.
    budget : float, optional
        Minutes from now; the number of iterations is planned anew to fit them. Without it the
        recipe's number, or on resuming the number planned before, holds.
    resume : bool
        Go on from the checkpoint in `out`.
    cache : Path, optional
        Where simulated noise is kept; ``out/cache`` without it.
    report : callable, optional
        Called after each iteration.

    Raises
    ------
    RecipeError, DataError, TrainingDivergedError
        See their classes.
    """
    recipe = Recipe.read(recipe_path)
    if not resume and (out / AVERAGE).exists():
        raise RecipeError(f"{out}: holds a run already; resume it or name another folder")
    source = open_source(recipe, data, cache or out / "cache")
    trainer = Trainer(build_generator(recipe), source, recipe.training)
    if resume:
        trainer.restore(Checkpoint.read(out))
    out.mkdir(parents=True, exist_ok=True)
    if recipe_path.resolve() != (out / RECIPE).resolve():
        shutil.copyfile(recipe_path, out / RECIPE)
    return trainer.run(out, report=report, budget=budget)

"""One training run: recipe and data in, a folder of checkpoints out."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from model_store.errors import RecipeError
from model_store.file_names import RECIPE
from model_store.generators.base import Generator, load_exactly
from model_store.generators.build import build, build_critic
from model_store.training.adversary import Adversary
from model_store.training.backbones import load_backbone
from model_store.training.checkpoint import AVERAGE, Checkpoint, Progress
from model_store.training.ct_patches import CtPatches, prepare_ct
from model_store.training.log import LOG, note
from model_store.training.loop import OnProgress, Trainer
from model_store.training.losses import Loss, Unit
from model_store.training.pairs.facts import Facts, sentence
from model_store.training.pairs.listing import Told, nobody, some
from model_store.training.pairs.patches import open_pairs
from model_store.training.pairs.section import PairsData
from model_store.training.patches import PatchSource
from model_store.training.precision import PrecisionChoice, arithmetic_of, resolve_precision
from model_store.training.recipe import CtData, PerceptualTerm, Recipe
from model_store.training.recipe_file import dump_toml, read_toml
from model_store.training.start import ZOO, load_start
from model_store.training.validation import Distance, Validation
from model_store.training.xray_patches import XrayPatches, prepare_xray

_WORTH_SAYING = 0.05


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
        load_exactly(generator, load_file(run / AVERAGE))
    except (OSError, SafetensorError, RecipeError) as error:
        raise RecipeError(f"{run / AVERAGE}: {error}") from error
    generator.eval()
    return recipe, generator


def open_source(recipe: Recipe, data: Path, cache: Path) -> PatchSource:
    """Read the recipe's images below `data` and make them a source of patches.

    Raises
    ------
    DataError
        If an image is missing or unreadable.
    """
    section = recipe.training
    if isinstance(recipe.data, PairsData):
        return open_pairs(recipe, recipe.data, data, cache)[0]
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


def build_trainer(
    recipe: Recipe,
    source: PatchSource,
    *,
    weights: Path | None = None,
    device: torch.device | None = None,
    distance: Distance | None = None,
) -> Trainer:
    """Build everything that a recipe trains with, at its first iteration.

    Parameters
    ----------
    recipe : Recipe
        What to train.
    source : PatchSource
        Batches.
    weights : Path, optional
        Folder of the backbones' weights, for recipes with a perceptual term.
    device : torch.device, optional
        Where to compute; the processor if left out.
    distance : callable, optional
        Perceptual distance that validation tells.

    Raises
    ------
    RecipeError
        If a backbone's weights are missing or not the known ones.
    """
    device = device or torch.device("cpu")
    section = recipe.training
    backbones = [
        load_backbone(term.backbone, term.layers, weights).to(device)
        for term in section.loss
        if isinstance(term, PerceptualTerm)
    ]
    loss = Loss(section.loss, Unit.of(recipe.input), section.loss_scale, backbones)
    adversary = None
    if recipe.critic is not None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(section.seed + 1)
            critic = build_critic(recipe.critic.network, section.patch).to(device)
        adversary = Adversary(critic, recipe.critic, section.seed)
    generator = build_generator(recipe)
    return Trainer(
        generator,
        source,
        section,
        loss=loss,
        adversary=adversary,
        device=device,
        validation=Validation(loss, adversary, distance, recipe.input),
    )


def train(
    recipe_path: Path,
    data: Path,
    out: Path,
    *,
    arm: str | None = None,
    weights: Path | None = None,
    zoo: Path = ZOO,
    budget: float | None = None,
    resume: bool = False,
    cache: Path | None = None,
    precision: PrecisionChoice | None = None,
    distance: Distance | None = None,
    report: OnProgress | None = None,
    told: Told = nobody,
    said: Callable[[str], object] = str,
) -> Progress:
    """Train a recipe, on a GPU if there is one.

    Parameters
    ----------
    recipe_path : Path
        The recipe; what it resolves to is written into `out`.
    data : Path
        Folder that the recipe's sources are relative to.
    out : Path
        Folder for recipe, checkpoints and log. A recipe's ``start`` is a folder beside it.
    arm : str, optional
        Arm of a file that has several.
    weights : Path, optional
        Folder of the backbones' weights, for recipes with a perceptual term.
    zoo : Path
        Folder of model versions, for recipes that start from one.
    budget : float, optional
        Minutes from now, preparation included; the number of iterations is planned anew to fit
        them. Without it the recipe's number, or on resuming the number planned before, holds.
    resume : bool
        Go on from the checkpoint in `out`.
    cache : Path, optional
        Where simulated noise and pairs that were read are kept; ``out/cache`` without it.
    precision : {"auto", "f32", "bf16"}, optional
        Instead of the recipe's, and written into the recipe in `out`. Without it the recipe's, or
        on resuming what the run had before, holds.
    distance : callable, optional
        Perceptual distance that validation tells.
    report : callable, optional
        Called after each iteration.
    told : callable
        Is told how far the reading of pairs is.
    said : callable
        Is told in words which pairs a run is trained on, what was left out, and what of a budget
        is gone before the first iteration.

    Raises
    ------
    RecipeError, DataError, TrainingDivergedError
        See their classes.
    """
    begin = time.monotonic()
    content = read_toml(recipe_path, arm)
    recipe = Recipe.resolve(content, str(recipe_path))
    if precision is not None:
        content["training"]["precision"] = resolve_precision(precision)
    elif resume and (out / RECIPE).exists():
        content["training"]["precision"] = Recipe.read(out / RECIPE).training.precision
    recipe = Recipe.resolve(content, str(recipe_path))
    if not resume and (out / AVERAGE).exists():
        raise RecipeError(f"{out}: holds a run already; resume it or name another folder")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    state = None
    if recipe.training.start is not None and not resume:
        state = load_start(recipe, out, zoo)
    cache = cache or out / "cache"
    source, facts = _prepared(recipe, data, cache, told, said)
    trainer = build_trainer(recipe, source, weights=weights, device=device, distance=distance)
    if resume:
        trainer.restore(Checkpoint.read(out))
    elif state is not None:
        trainer.adopt(state)
    out.mkdir(parents=True, exist_ok=True)
    if recipe_path.resolve() != (out / RECIPE).resolve():
        (out / RECIPE).write_text(dump_toml(content), encoding="utf-8")
    if facts is not None:
        facts.write(out)
        note(out / LOG, trainer.progress.step, {"pairs": facts.numbers()})
    if budget is not None:
        spent = (time.monotonic() - begin) / 60
        if spent > _WORTH_SAYING * budget:
            said(f"preparation took {spent:.1f} of the budget of {budget:g} minutes")
        budget = max(budget - spent, 0.0)
    with arithmetic_of(recipe.training.precision):
        return trainer.run(out, report=report, budget=budget)


def _prepared(
    recipe: Recipe, data: Path, cache: Path, told: Told, said: Callable[[str], object]
) -> tuple[PatchSource, Facts | None]:
    """Source of patches, and of pairs the facts, which are said in words too."""
    if not isinstance(recipe.data, PairsData):
        return open_source(recipe, data, cache), None
    source, facts = open_pairs(recipe, recipe.data, data, cache, told)
    said(sentence(facts.numbers()))
    for what, names in (("refused", facts.refused), ("without a partner", facts.alone)):
        if names:
            said(f"{what}: {some(names)}")
    return source, facts

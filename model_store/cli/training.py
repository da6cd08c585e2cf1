"""The command ``model-store train``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from model_store.cli.console import failed, progress_bar
from model_store.cli.options import ArmName, Backbones, TrainingPrecision, limit_threads
from model_store.errors import ModelStoreError


def train(  # noqa: PLR0917
    recipe: Annotated[Path, typer.Argument(help="TOML recipe, or the name of one that is shipped")],
    data: Annotated[Path, typer.Option(help="folder that the recipe's sources are relative to")],
    out: Annotated[Path, typer.Option(help="folder for recipe, checkpoints and cache")],
    budget: Annotated[
        float | None, typer.Option(help="minutes to fit the run into, preparation included")
    ] = None,
    cache: Annotated[Path | None, typer.Option(help="folder for simulated noise and pairs")] = None,
    resume: Annotated[bool, typer.Option(help="go on from the checkpoint in --out")] = False,
    threads: Annotated[int | None, typer.Option(help="processor threads")] = None,
    weights: Backbones = None,
    arm: ArmName = None,
    precision: Annotated[
        TrainingPrecision | None,
        typer.Option(help="arithmetic of the training; absent: the recipe's, or the resumed run's"),
    ] = None,
) -> None:
    """Train a recipe; stops when its iterations, or the budget, are done."""
    from model_store.evaluation.lpips import Lpips  # noqa: PLC0415
    from model_store.training import checkpoint, run  # noqa: PLC0415
    from model_store.training.recipe_file import recipe_path  # noqa: PLC0415

    limit_threads(threads or 0)
    console = Console()
    with progress_bar(console) as told:

        def said(text: str) -> None:
            console.print(text, highlight=False, soft_wrap=True)

        def report(done: checkpoint.Progress) -> None:
            told(f"loss {done.loss:.4f}", done.step, done.iterations)

        try:
            done = run.train(
                recipe_path(recipe),
                data,
                out,
                arm=arm,
                weights=weights,
                budget=budget,
                resume=resume,
                cache=cache,
                precision=precision.value if precision else None,
                distance=Lpips.where(weights),
                report=report,
                told=told,
                said=said,
            )
        except ModelStoreError as error:
            raise failed(console, error) from error
    console.print(f"{done.step} iterations in {done.seconds / 60:.1f} minutes: {out}")

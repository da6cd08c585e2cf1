"""The command ``model-store make``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from model_store.cli.console import failed, progress_bar
from model_store.cli.options import (
    ArmName,
    Backbones,
    Quick,
    Threads,
    TrainingPrecision,
    limit_threads,
)
from model_store.errors import ModelStoreError
from model_store.manifest import LEAST_STRENGTH

if TYPE_CHECKING:
    from model_store.making.state import Done


class StepName(StrEnum):
    """The steps, in their order."""

    TRAIN = "train"
    EXPORT = "export"
    PHYSICS = "physics"
    EVALUATE = "evaluate"
    VERIFY = "verify"
    REPORT = "report"
    SIGN = "sign"
    PACK = "pack"


def make(  # noqa: PLR0917
    recipe: Annotated[Path, typer.Argument(help="TOML recipe, or the name of one that is shipped")],
    data: Annotated[Path, typer.Option(help="folder that the recipe's images are below")],
    out: Annotated[
        Path, typer.Option(help="folder for run, version, report and zip file; goes on with it")
    ],
    key: Annotated[Path | None, typer.Option(help="private key file to sign with")] = None,
    start: Annotated[
        StepName | None, typer.Option("--from", help="do this step and all after it again")
    ] = None,
    accept: Annotated[
        list[StepName] | None, typer.Option(help="go on although this step misses its limit")
    ] = None,
    strength: Annotated[
        float | None,
        typer.Option(
            min=LEAST_STRENGTH, max=1, help="CT: measured on phantoms, and recommended to routes"
        ),
    ] = None,
    budget: Annotated[float | None, typer.Option(help="minutes to fit the training into")] = None,
    weights: Backbones = None,
    arm: ArmName = None,
    precision: Annotated[
        TrainingPrecision | None,
        typer.Option(help="arithmetic of the training; absent: the recipe's"),
    ] = None,
    compare: Annotated[bool, typer.Option(help="against classical filters")] = True,
    quick: Quick = False,
    threads: Threads = 0,
) -> None:
    """Make a version of a recipe: train, export, measure, verify, report, sign and pack it.

    Stops where a limit is missed, says which, and how to go on. Called again, it goes on where it
    stopped: what is done is not done again. Each step has a command of its own, too.

    Example: model-store make drunet-xray --data DATA --out made/drunet-xray --key own.key

    Exit codes: 0 packed; 1 an error; 3 a limit was missed.
    """
    from model_store.making.make import make as made  # noqa: PLC0415
    from model_store.making.steps import LimitMissedError, Wanted  # noqa: PLC0415
    from model_store.training.recipe import Recipe  # noqa: PLC0415
    from model_store.training.recipe_file import recipe_path  # noqa: PLC0415
    from model_store.trust.key import PrivateKey  # noqa: PLC0415

    limit_threads(threads)
    console = Console()

    def heard(step: str, done: Done, before: bool) -> None:
        mark = "[yellow]missed[/]" if done.missed else "[green]done[/]  "
        when = " (before)" if before else ""
        console.print(f"{mark} {step + ':':10}{escape(done.said)}{when}", soft_wrap=True)

    try:
        path = recipe_path(recipe)
        wanted = Wanted(
            path, Recipe.read(path, arm), data, out, arm,
            None if key is None else PrivateKey.read(key), weights, budget,
            precision.value if precision else None, strength, compare, quick, threads,
        )  # fmt: skip
        with progress_bar(console) as told:
            version = made(
                wanted,
                start=start.value if start else None,
                accept=[step.value for step in accept or ()],
                begun=lambda step: told(step, 0, 1),
                told=told,
                heard=heard,
            )
    except LimitMissedError as error:
        console.print(escape(str(error)), highlight=False, soft_wrap=True)
        raise typer.Exit(3) from error
    except ModelStoreError as error:
        raise failed(console, error) from error
    zipped = out / f"{version.ref.name}-{version.ref.version}.zip"
    console.print(f"on a node: dicom-node model introduce {zipped}", highlight=False)

"""The command ``model-store``: train, export, evaluate, sign and pack model versions."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from model_store.console import failed, progress_bar
from model_store.errors import ModelStoreError
from model_store.evaluation.command import add_evaluation
from model_store.evaluation.physics.command import add_physics
from model_store.reports.command import add_report
from model_store.store import ModelVersion
from model_store.training.pairs.command import add_pairs
from model_store.trust.command import add_trust, version_folder
from model_store.trust.signature import SIGNATURE

app = typer.Typer(no_args_is_help=True, help=__doc__)

_ZOO = Path(__file__).parent / "zoo"


class Precision(StrEnum):
    """What a run may compute in; auto takes bf16 where the machine has it natively."""

    AUTO = "auto"
    F32 = "f32"
    BF16 = "bf16"


@app.command()
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
    weights: Annotated[
        Path | None,
        typer.Option(help="folder of ImageNet weights, for perceptual losses and distances"),
    ] = None,
    arm: Annotated[str | None, typer.Option(help="arm of a recipe that has several")] = None,
    precision: Annotated[
        Precision | None,
        typer.Option(help="arithmetic of the training; absent: the recipe's, or the resumed run's"),
    ] = None,
) -> None:
    """Train a recipe; stops when its iterations, or the budget, are done."""
    import torch  # noqa: PLC0415

    from model_store.evaluation.lpips import Lpips  # noqa: PLC0415
    from model_store.training.checkpoint import Progress as Done  # noqa: PLC0415
    from model_store.training.recipe_file import recipe_path  # noqa: PLC0415
    from model_store.training.run import train as run  # noqa: PLC0415

    if threads:
        torch.set_num_threads(threads)
    console = Console()
    with progress_bar(console) as told:

        def said(text: str) -> None:
            console.print(text, highlight=False, soft_wrap=True)

        def report(done: Done) -> None:
            text = f"loss {done.loss:.4f}"
            told(text, done.step, done.iterations)
            if not console.is_terminal and done.step % 100 == 0:
                console.print(f"{done.step}/{done.iterations} {text} {done.seconds:.0f} s")

        try:
            done = run(
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


@app.command()
def export(
    run: Annotated[Path, typer.Argument(help="folder of a training run")],
    zoo: Annotated[Path, typer.Option(help="folder of model versions")] = _ZOO,
    version: Annotated[str | None, typer.Option(help="another version than the recipe's")] = None,
    key: Annotated[Path | None, typer.Option(help="private key file to sign with")] = None,
) -> None:
    """Write the averaged weights of a run as a model version, golden outputs and card with it."""
    from model_store.training.release import release  # noqa: PLC0415
    from model_store.trust.key import PrivateKey  # noqa: PLC0415
    from model_store.trust.signature import sign  # noqa: PLC0415

    console = Console()
    try:
        private = PrivateKey.read(key) if key is not None else None
        folder = release(run, zoo, version=version)
        if private is not None:
            sign(ModelVersion.open(folder), private)
    except ModelStoreError as error:
        raise failed(console, error) from error
    console.print(str(folder))


@app.command()
def golden(
    versions: Annotated[
        list[str], typer.Argument(metavar="VERSION", help="NAME@VERSION, one or more")
    ],
    zoo: Annotated[Path, typer.Option(help="folder of model versions")] = _ZOO,
) -> None:
    """Add golden outputs to versions that were exported without; a signed version is refused.

    They are what torch gives for three test images. Nodes compare their engines with them.

    Example: model-store golden drunet-ct@1.0.0
    """
    from model_store.training.release import add_golden  # noqa: PLC0415

    console = Console()
    try:
        for name in versions:
            added = add_golden(version_folder(zoo, name))
            said = "has golden outputs now" if added else "had golden outputs already"
            console.print(f"{name} {said}", highlight=False)
    except ModelStoreError as error:
        raise failed(console, error) from error


@app.command()
def pack(
    version: Annotated[str, typer.Argument(metavar="VERSION", help="NAME@VERSION")],
    out: Annotated[Path, typer.Option(help="zip file, or folder for NAME-VERSION.zip")],
    zoo: Annotated[Path, typer.Option(help="folder of model versions")] = _ZOO,
) -> None:
    """Write a version with its signature into one zip file, for 'dicom-node model import'.

    Every byte is checked first.

    Example: model-store pack drunet-ct@1.2.0 --zoo zoo --out drunet-ct-1.2.0.zip
    """
    from model_store.archive import pack as write  # noqa: PLC0415

    console = Console()
    try:
        packed = ModelVersion.open(version_folder(zoo, version))
        made = write(packed, out)
    except ModelStoreError as error:
        raise failed(console, error) from error
    signed = (packed.folder / SIGNATURE).is_file()
    said = "" if signed else "; it is not signed: nodes refuse it unless they accept that"
    console.print(f"{packed.ref} written to {made}{said}", highlight=False, soft_wrap=True)


add_pairs(app)
add_evaluation(app, _ZOO)
add_physics(app, _ZOO)
add_report(app, _ZOO)
add_trust(app, _ZOO)

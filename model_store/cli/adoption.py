"""The command ``model-store adopt``."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table

from model_store.cli.asking import Questions
from model_store.cli.console import failed
from model_store.errors import ManifestError, ModelStoreError
from model_store.manifest import LEAST_STRENGTH, InputSpec, Manifest, TrainedNoise
from model_store.store import ModelStore, packaged_zoo

if TYPE_CHECKING:
    from model_store.adoption.facts import Answers

Gives = Literal["image", "residual"]


def add_adoption(app: typer.Typer, zoo_folder: Path) -> None:
    """Add the command to `app`; versions are written into `zoo_folder` by default."""

    @app.command()
    def adopt(  # noqa: PLR0917
        file: Annotated[Path, typer.Argument(help="ONNX file of a network that denoises")],
        like: Annotated[
            str,
            typer.Option(
                metavar="NAME@VERSION",
                help="version for the same kind of image: modality, units, offset, scale, range "
                "and strength are taken from it",
            ),
        ],
        zoo: Annotated[Path, typer.Option(help="folder of model versions")] = zoo_folder,
        name: Annotated[str | None, typer.Option(help="name of the new version")] = None,
        version: Annotated[str | None, typer.Option(help="MAJOR.MINOR.PATCH")] = None,
        licence: Annotated[str | None, typer.Option(help="of the weights")] = None,
        intended_use: Annotated[str | None, typer.Option(help="what it is for")] = None,
        training_data: Annotated[str | None, typer.Option(help="what it was trained on")] = None,
        limits: Annotated[str | None, typer.Option(help="where it should not be used")] = None,
        noise: Annotated[
            str | None, typer.Option(help="noise it was trained for, in words")
        ] = None,
        noise_min: Annotated[
            float | None,
            typer.Option(
                min=0, help="least deviation of that noise: HU, or fraction of the full range"
            ),
        ] = None,
        noise_max: Annotated[
            float | None, typer.Option(min=0, help="greatest deviation of that noise")
        ] = None,
        modality: Annotated[
            list[str] | None, typer.Option(help="instead of those of --like")
        ] = None,
        body_part: Annotated[
            list[str] | None, typer.Option(help="instead of those of --like")
        ] = None,
        offset: Annotated[
            float | None, typer.Option(help="of the input, (value + offset) / scale")
        ] = None,
        scale: Annotated[
            float | None, typer.Option(help="of the input, (value + offset) / scale")
        ] = None,
        minimum: Annotated[
            float | None, typer.Option(help="lower values are copied through")
        ] = None,
        maximum: Annotated[
            float | None, typer.Option(help="higher values are copied through")
        ] = None,
        strength: Annotated[
            float | None,
            typer.Option(min=LEAST_STRENGTH, max=1, help="of routes that state none"),
        ] = None,
        output: Annotated[
            str | None,
            typer.Option(help="image or residual: what it gives; absent: as it shows"),
        ] = None,
        stride: Annotated[
            int | None, typer.Option(min=1, help="of its sizes; absent: as measured")
        ] = None,
        margin: Annotated[
            int | None, typer.Option(min=0, help="of its tiles; absent: as measured")
        ] = None,
        threads: Annotated[int, typer.Option(min=0, help="processor threads; 0: all")] = 0,
        ask: Annotated[
            bool | None,
            typer.Option(
                "--ask/--no-ask", help="whether there is a person to ask; absent: at a terminal"
            ),
        ] = None,
        dry_run: Annotated[
            bool, typer.Option("--dry-run", help="only say what was found; write nothing")
        ] = False,
    ) -> None:
        """Make a model version of an ONNX file that was trained elsewhere.

        Finds out by itself which sizes the network takes, how far it reaches, whether it gives the
        image or what is to be added, and whether tiles fit together; asks for the rest, unless
        options say it. The version is there whole or not at all.

        Example: model-store adopt theirs.onnx --like drunet-ct@1.3.0 --zoo zoo
        """
        from model_store.adoption.adopt import (  # noqa: PLC0415
            adopt as adopted,
        )
        from model_store.adoption.adopt import (  # noqa: PLC0415
            look,
            read_network,
            refuse_taken,
        )
        from model_store.graph import check_graph  # noqa: PLC0415

        console = Console()
        gives = _gives(output)
        try:
            data = read_network(file)
            check_graph(data)  # rather now than after all questions
            resembled = _resembled(like, zoo)
            answers = _answers(
                Questions(ask), file, resembled, name, version, licence, intended_use,
                training_data, limits, noise, noise_min, noise_max, modality, body_part,
                _input(resembled, offset, scale, minimum, maximum), strength, gives, stride, margin,
            )  # fmt: skip
            refuse_taken(answers, zoo)
            with console.status("") as status:
                found, manifest = look(data, answers, threads, status.update)
            table = Table("", "", title=f"{answers.name}@{answers.version}", show_header=False)
            for row in found.lines(manifest):
                table.add_row(*row)
            console.print(table)
            if dry_run:
                console.print("nothing was written")
                return
            folder = adopted(
                data, found, manifest, zoo,
                source=file.name, like=str(resembled.ref), limits=answers.limits,
            )  # fmt: skip
        except ModelStoreError as error:
            raise failed(console, error) from error
        where = "" if zoo == zoo_folder else f" --zoo {shlex.quote(str(zoo))}"
        _tell(console, folder, resembled, where)


def _tell(console: Console, folder: Path, resembled: Manifest, where: str) -> None:
    name = f"{folder.parent.name}@{folder.name}"
    console.print(f"{name} written to {folder}", highlight=False, soft_wrap=True)
    console.print(
        f"input and strength are those of {resembled.ref}; next: "
        f"'model-store evaluate {name}{where} --data DATA --write', "
        f"'model-store sign {name}{where} --key KEY', "
        f"'model-store pack {name}{where} --out {folder.parent.name}-{folder.name}.zip'",
        highlight=False,
        soft_wrap=True,
    )


def _gives(output: str | None) -> Gives | None:
    if output not in {None, "image", "residual"}:
        raise typer.BadParameter("give image or residual", param_hint="--output")
    return output  # type: ignore[return-value]


def _resembled(like: str, zoo: Path) -> Manifest:
    own = zoo.resolve() == packaged_zoo().resolve()
    more = () if own or not zoo.is_dir() else (zoo,)
    return ModelStore(more=more).resolve(like).manifest


def _input(
    resembled: Manifest,
    offset: float | None,
    scale: float | None,
    minimum: float | None,
    maximum: float | None,
) -> InputSpec:
    stated = {"offset": offset, "scale": scale, "minimum": minimum, "maximum": maximum}
    changes = {key: value for key, value in stated.items() if value is not None}
    if resembled.input.units == "stored" and ("offset" in changes or "scale" in changes):
        raise ManifestError(
            "radiographs come in as fractions of their full range: there is no offset and no scale"
        )
    try:
        return InputSpec.model_validate({**resembled.input.model_dump(), **changes})
    except ValueError as error:
        raise ManifestError(f"input: {error}") from error


def _answers(  # noqa: PLR0917
    questions: Questions,
    file: Path,
    resembled: Manifest,
    name: str | None,
    version: str | None,
    licence: str | None,
    intended_use: str | None,
    training_data: str | None,
    limits: str | None,
    noise: str | None,
    noise_min: float | None,
    noise_max: float | None,
    modality: list[str] | None,
    body_part: list[str] | None,
    spec: InputSpec,
    strength: float | None,
    output: Gives | None,
    stride: int | None,
    margin: int | None,
) -> Answers:
    from model_store.adoption.facts import Answers  # noqa: PLC0415

    unit = "HU" if spec.units == "HU" else "fraction of the full range"
    slug = re.sub(r"[^a-z0-9._-]+", "-", file.stem.lower()).strip("-._") or None
    ask = questions.answer
    name = ask(name, "--name", "Name of the version", suggested=slug)
    version = ask(version, "--version", "Number, MAJOR.MINOR.PATCH", suggested="1.0.0")
    intended_use = ask(intended_use, "--intended-use", "What is it for?")
    training_data = ask(training_data, "--training-data", "What was it trained on?")
    noise = ask(noise, "--noise", "Which noise was it trained for, in words?")
    noise_min = ask(noise_min, "--noise-min", f"Least deviation of that noise, {unit}", float)
    noise_max = ask(noise_max, "--noise-max", f"Greatest deviation of that noise, {unit}", float)
    limits = ask(limits, "--limits", "Where should it not be used?")
    licence = ask(licence, "--licence", "Licence of the weights")
    questions.refuse()
    for option, text in (
        ("--intended-use", intended_use), ("--training-data", training_data), ("--noise", noise),
        ("--limits", limits), ("--licence", licence),
    ):  # fmt: skip
        if not str(text).strip():
            raise typer.BadParameter("say something", param_hint=option)
    if not 0 <= float(noise_min or 0) <= float(noise_max or 0):
        raise typer.BadParameter("must not be below --noise-min", param_hint="--noise-max")
    return Answers(
        name=str(name),
        version=str(version),
        intended_use=str(intended_use),
        training_data=str(training_data),
        licence=str(licence),
        limits=str(limits),
        noise=TrainedNoise(
            minimum_sd=float(noise_min or 0), maximum_sd=float(noise_max or 0),
            description=str(noise),
        ),
        modality=tuple(modality) if modality else resembled.modality,
        body_parts=tuple(body_part) if body_part else resembled.body_parts,
        input=spec,
        strength=resembled.strength if strength is None else strength,
        output=output,
        stride=stride,
        margin=margin,
    )  # fmt: skip

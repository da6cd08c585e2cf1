"""``dicom-node denoise``: one file, or a folder of them, without a node that runs."""

from __future__ import annotations

import math
import os
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Console
from rich.markup import escape

from dicom_node.cli.common import ConfigOption, JsonOption
from dicom_node.cli.interruption import code_of, ended_in_order
from dicom_node.cli.model import names
from dicom_node.cli.model.common import Code, plain, print_json, printable, progress
from dicom_node.domain.route import Output
from model_store.ref import ModelName

if TYPE_CHECKING:
    from dicom_node.settings import Settings
    from workers.direct.files import FileOutcome, FoundFiles
    from workers.direct.request import Request

_INTERRUPTED: Final = "interrupted: no file is left half-written; the same command does the rest"
_DEFAULT_TAG: Final = "production"


@plain
def denoise(  # noqa: PLR0917 -- options, given by name
    source: Annotated[
        Path,
        typer.Argument(
            metavar="FILE|FOLDER",
            help="A DICOM file of any name, a grey PNG, JPEG or TIFF, or a folder of such.",
            show_default=False,
        ),
    ],
    out: Annotated[
        str,
        typer.Option(
            "--out",
            "-o",
            help="File of the result, or a folder for results under the names of their originals.",
            show_default=False,
        ),
    ],
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME[@VERSION|@ALIAS]",
            help="Model; a name alone is its production alias. Absent: the route's, else "
            "ct-default for CT and xray-default for radiographs.",
            autocompletion=names.both,
            show_default=False,
        ),
    ] = None,
    strength: Annotated[
        float | None,
        typer.Option(
            help="0: unchanged; 1: fully denoised; absent: the route's, else what the model "
            "version recommends.",
            show_default=False,
        ),
    ] = None,
    route: Annotated[
        str | None,
        typer.Option(
            help="Make what this route of node.toml makes. Without routes there: the name that "
            "results state and their UIDs come from; absent: command-line.",
            show_default=False,
        ),
    ] = None,
    form: Annotated[
        Output | None,
        typer.Option(
            help="Form of DICOM results; absent: the route's, else secondary-capture.",
            show_default=False,
        ),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="When results say they were made, as in 2026-11-28T09:30:00+01:00; absent: now.",
            show_default=False,
        ),
    ] = None,
    hu: Annotated[
        str | None,
        typer.Option(
            "--hu",
            metavar="GREY=HU,GREY=HU",
            help="What two grey values of a PNG, JPEG or TIFF are in Hounsfield units, such as "
            "0=-1024,4095=3071; without it such an image is a radiograph.",
            show_default=False,
        ),
    ] = None,
    bits: Annotated[
        int | None,
        typer.Option(
            min=8,
            max=16,
            help="Bits that grey values of a PNG or TIFF of 16 bits use; absent: 16, if they do.",
            show_default=False,
        ),
    ] = None,
    picture: Annotated[
        str | None,
        typer.Option(
            "--picture",
            metavar="PNG",
            help="Also draw before, after and difference side by side, with a part enlarged; of a "
            "folder a folder of such pictures.",
            show_default=False,
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace results that are there; never originals.")
    ] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Denoise a file, or every image in a folder, without a node that runs.

    A DICOM object gives what a node would send: the same rules, stages and UIDs. A grey PNG, JPEG
    or TIFF gives a file of the same kind, size and bits that says how it was made. No ledger and no
    node.toml are needed; where one is named, its model store, trust, results and engine count.
    Originals are never changed, and no result is there half-written.

    Exit codes:
    0 every image was denoised;
    1 an error: something cannot be read, denoised or written, or no image was found;
    2 wrong use;
    3 an image must not be denoised, or its result is there already, or a model is not trusted;
    130 it was interrupted by Ctrl-C;
    143 it was ended by a kill.

    For example: dicom-node denoise IM0001 -o denoised.dcm --picture before-after.png
    """
    done: list[FileOutcome] = []
    count = 0
    try:
        with ended_in_order():
            tree = _settings(config)
            asked = _asked(
                tree, route, model=model, strength=strength, form=form, at=at, hu=hu, bits=bits
            )
            found = _found(source, out, picture)
            count = found.count
            _run(tree, asked, found, _shown(source), overwrite=overwrite, done=done)
    except KeyboardInterrupt as error:
        _print(done, as_json=as_json, of=count)
        Console(stderr=True, soft_wrap=True, highlight=False).print(_INTERRUPTED)
        raise typer.Exit(code_of(error)) from error
    except BaseException:
        if done:
            _print(done, as_json=as_json, of=count)
        raise
    _print(done, as_json=as_json, of=count)
    raise typer.Exit(_code(done))


def _found(source: Path, out: str, picture: str | None) -> FoundFiles:
    from workers.direct.files import find  # noqa: PLC0415 -- loads engines

    return find(source, out, picture)


def _run(
    tree: Settings,
    asked: Request,
    found: FoundFiles,
    first: str,
    *,
    overwrite: bool,
    done: list[FileOutcome],
) -> None:
    """Denoise what was found, and keep in `done` what became of each file."""
    from workers.direct.files import FileRun  # noqa: PLC0415 -- loads engines
    from workers.direct.service import Service  # noqa: PLC0415

    with progress(found.count) as tell:
        service = Service(tree, tell.part)
        service.version(asked)
        tell(first)
        for each in FileRun(service, asked, found, overwrite=overwrite).run():
            done.append(each)
            tell(_shown(each.source))


def _code(done: Sequence[FileOutcome]) -> Code:
    from workers.direct.files import FileState  # noqa: PLC0415

    count = Counter(each.state for each in done)
    if count[FileState.FAILED] or not count.keys() - {FileState.OTHER}:
        return Code.ERROR
    return Code.REFUSED if count[FileState.PASSED] else Code.OK


def _settings(config: Path | None) -> Settings:
    """The settings tree; only what goes wrong is logged: the command says the rest itself."""
    from dicom_node import log  # noqa: PLC0415
    from dicom_node.settings import load  # noqa: PLC0415

    tree = load(config)
    log.configure(tree.log.model_copy(update={"level": "warning"}))
    return tree


def _asked(
    tree: Settings,
    route: str | None,
    *,
    model: str | None,
    strength: float | None,
    form: Output | None,
    at: str | None,
    hu: str | None,
    bits: int | None,
) -> Request:
    from workers.direct.request import Request, hounsfield  # noqa: PLC0415 -- loads what reads images

    if strength is not None and not 0 <= strength <= 1:  # NaN is neither
        raise typer.BadParameter(
            f"must be between 0 and 1, not {strength}", param_hint="--strength"
        )
    try:
        rescale = None if hu is None else hounsfield(hu)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--hu") from error
    return Request.of_route(
        tree, route, model=None if model is None else _model(model), strength=strength,
        output=form, at=None if at is None else _time(at), hounsfield=rescale, bits=bits,
    )  # fmt: skip


def _model(text: str) -> ModelName:
    try:
        return ModelName.parse(text if "@" in text else f"{text}@{_DEFAULT_TAG}")
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--model") from error


def _time(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise typer.BadParameter(
            f"{text!r} is no time such as 2026-11-28T09:30:00+01:00", param_hint="--at"
        ) from error


# --- what is said of it ---------------------------------------------------------------------------


def _shown(text: Path | str) -> str:
    """Names that others gave, for a terminal."""
    return escape(printable(str(text)))


def _told(path: Path) -> str:
    """A name for machines; bytes that are no text are escaped."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _print(done: Sequence[FileOutcome], *, as_json: bool, of: int) -> None:
    if as_json:
        print_json([_row(each) for each in done])
        return
    console = Console(highlight=False, soft_wrap=True)
    for each in done:
        if each.how is None:
            colour = "bold red" if each.state == "failed" else "yellow"
            console.print(f"[{colour}]{each.state}:[/] {_shown(each.source)}: {_shown(each.why)}")
    console.print(_summary(done, of))


def _summary(done: Sequence[FileOutcome], of: int) -> str:
    """How many files by what, and what became of the noise: the median of them."""
    made = [each.how for each in done if each.how is not None]
    lines = [f"{len(made)} of {of} {'file' if of == 1 else 'files'} denoised"]
    for words in sorted({how.words for how in made}):
        these = [how for how in made if how.words == words]
        said = f"{len(these)} by {words}"
        noise = [how.noise for how in these if how.noise.windows]
        if noise:
            before = statistics.median(each.before for each in noise)
            after = statistics.median(each.after for each in noise)
            unit = "HU" if these[0].units == "HU" else "grey levels"
            said += f": noise {before:.3g} {unit} before, {after:.3g} after"
        lines.append(said)
    return escape("\n  ".join(lines))


def _row(each: FileOutcome) -> dict[str, Any]:
    row: dict[str, Any] = {
        "source": _told(each.source), "state": each.state.value, "why": each.why or None,
        "result": None,
    }  # fmt: skip
    how = each.how
    if how is None:
        return row
    noise = {
        key: value if math.isfinite(value) else None for key, value in asdict(how.noise).items()
    }
    return row | {
        "result": _told(each.target), "kind": each.kind, "model": str(how.model),
        "sha256": how.model.sha256, "strength": how.strength, "engine": dict(how.engine),
        "units": how.units, "noise": noise, "source_uid": each.source_uid or None,
        "series_uid": each.series_uid or None,
    }  # fmt: skip

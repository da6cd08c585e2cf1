"""The command ``model-store report``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from model_store.cli.console import failed
from model_store.errors import DataError, ModelStoreError
from model_store.reports.losses import LOG
from model_store.store import ModelStore, ModelVersion

if TYPE_CHECKING:
    from model_store.reports.pictures import CasePictures

_INDEX = "index.html"


def add_report(app: typer.Typer, zoo_folder: Path) -> None:
    """Add the command to `app`; model versions are looked for in `zoo_folder` by default."""

    @app.command()
    def report(  # noqa: PLR0917
        model: Annotated[str | None, typer.Argument(help="NAME@VERSION, or --all")] = None,
        every: Annotated[bool, typer.Option("--all", help="every version, and an index")] = False,
        out: Annotated[Path, typer.Option(help="folder for the pages")] = Path("model-reports"),
        data: Annotated[
            Path | None,
            typer.Option(help="folder of the held-out images; without it there are no pictures"),
        ] = None,
        weights: Annotated[
            Path | None,
            typer.Option(help="folder of the weights that perceptual distances need"),
        ] = None,
        results: Annotated[
            Path | None,
            typer.Option(help="JSON of evaluate --out, or a folder of NAME@VERSION.json"),
        ] = None,
        physics: Annotated[
            Path | None,
            typer.Option(help="JSON of physics --out, or a folder of NAME@VERSION.json"),
        ] = None,
        log: Annotated[
            Path | None,
            typer.Option(
                help="a run's folder or log, for the curve of its loss; a folder of runs for --all"
            ),
        ] = None,
        zoo: Annotated[Path, typer.Option(help="folder of model versions")] = zoo_folder,
    ) -> None:
        """Write one self-contained HTML page a model version."""
        if every == (model is not None):
            raise typer.BadParameter("name one NAME@VERSION, or --all")
        console = Console()
        try:
            store = ModelStore(zoo)
            versions = store.versions() if model is None else (store.resolve(model),)
            written = write_reports(
                store,
                versions,
                out,
                data=data,
                weights=weights,
                results=results,
                physics=physics,
                log=log,
            )
        except ModelStoreError as error:
            raise failed(console, error) from error
        for path in written:
            console.print(str(path), highlight=False)


def write_reports(
    store: ModelStore,
    versions: tuple[ModelVersion, ...],
    out: Path,
    *,
    data: Path | None = None,
    weights: Path | None = None,
    results: Path | None = None,
    physics: Path | None = None,
    log: Path | None = None,
) -> list[Path]:
    """Write a page a version into `out`, and an index over them if there are several.

    Parameters
    ----------
    store : ModelStore
        Whose aliases are named.
    versions : tuple of ModelVersion
        What to report.
    out : Path
        Folder; made if missing.
    data, weights, results, physics, log : Path, optional
        As of the command.

    Returns
    -------
    list of Path
        Files written, the index last.

    Raises
    ------
    DataError
        If a file or the held-out images cannot be read.
    RecipeError
        If a version's recipe is malformed.
    """
    from model_store.reports.findings import Findings  # noqa: PLC0415
    from model_store.reports.page import Page, render_index, render_page  # noqa: PLC0415

    for path in (results, physics, log):
        if len(versions) > 1 and path is not None and not path.is_dir():
            raise DataError(
                f"{path}: one file for several versions; name a folder of NAME@VERSION.json"
            )
    aliases = store.aliases()
    pages = {}
    for version in versions:
        findings = Findings.of(
            version,
            results=_own(results, version),
            physics=_own(physics, version),
            log=_own_log(log, version) if len(versions) > 1 else log,
        )
        pages[f"{version.ref}.html"] = Page(
            findings,
            () if data is None else _pictures(version, data, weights),
            sorted(
                str(alias) for alias, target in aliases.items() if str(target) == str(version.ref)
            ),
        )
    out.mkdir(parents=True, exist_ok=True)
    texts = {name: render_page(page) for name, page in pages.items()}
    if len(pages) > 1:
        texts[_INDEX] = render_index(pages)
    written = [out / name for name in texts]
    for path, text in zip(written, texts.values(), strict=True):
        path.write_text(text, encoding="utf-8")
    return written


def _own(path: Path | None, version: ModelVersion) -> Path | None:
    """A version's file: `path` itself, or in a folder the one of its name if there is one."""
    if path is None or not path.is_dir():
        return path
    file = path / f"{version.ref}.json"
    return file if file.is_file() else None


def _own_log(runs: Path | None, version: ModelVersion) -> Path | None:
    """In a folder of runs, the log of the run that has the version's name."""
    if runs is None:
        return None
    logs = (runs / str(version.ref), runs / version.ref.name)
    return next((folder for folder in logs if (folder / LOG).is_file()), None)


def _pictures(version: ModelVersion, data: Path, weights: Path | None) -> list[CasePictures]:
    from model_store.evaluation.session import ReleasedModel  # noqa: PLC0415
    from model_store.reports.pictures import held_out_cases, picture_cases  # noqa: PLC0415
    from model_store.training.recipe_of import data_recipe  # noqa: PLC0415

    recipe = data_recipe(version.folder, version.manifest)
    return picture_cases(
        held_out_cases(recipe, data, weights),
        ReleasedModel(version.folder),
        units=version.manifest.input.units,
    )

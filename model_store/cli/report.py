"""The command ``model-store report``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from model_store.cli.console import failed
from model_store.errors import ModelStoreError
from model_store.store import ModelStore

if TYPE_CHECKING:
    pass


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
        data_of: Annotated[
            str | None,
            typer.Option(
                help="recipe (file, shipped name, or NAME@VERSION) whose held-out images to show; "
                "absent: the version's own, or that of the one it was adopted like"
            ),
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
        from model_store.reports.writing import write_reports  # noqa: PLC0415

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
                data_of=data_of,
                weights=weights,
                results=results,
                physics=physics,
                log=log,
            )
        except ModelStoreError as error:
            raise failed(console, error) from error
        for path in written:
            console.print(str(path), highlight=False)

"""The command ``model-store physics``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from model_store.cli.console import failed
from model_store.errors import DataError, ModelStoreError
from model_store.manifest import LEAST_STRENGTH
from model_store.terminal import show_whole


def add_physics(app: typer.Typer, zoo_folder: Path) -> None:
    """Add the command to `app`; model versions are looked for in `zoo_folder` by default."""

    @app.command()
    def physics(  # noqa: PLR0917
        model: Annotated[str, typer.Argument(help="NAME@VERSION")],
        data: Annotated[
            Path | None,
            typer.Option(help="folder above ct_physics; without it, simulated phantoms alone"),
        ] = None,
        zoo: Annotated[Path, typer.Option(help="folder of model versions")] = zoo_folder,
        strength: Annotated[
            float | None,
            typer.Option(
                min=LEAST_STRENGTH,
                max=1,
                help="of the denoising",
                show_default="what the version recommends",
            ),
        ] = None,
        out: Annotated[
            Path | None, typer.Option(help="also write all results to this JSON")
        ] = None,
        write: Annotated[
            bool,
            typer.Option(
                help="put the results into manifest and card, and recommend this strength to routes"
            ),
        ] = False,
        quick: Annotated[bool, typer.Option(help="few images")] = False,
        sweep: Annotated[bool, typer.Option(help="also look for the largest strength")] = True,
        threads: Annotated[int, typer.Option(help="processor threads; 0: all")] = 0,
    ) -> None:
        """Measure noise texture, resolution, CT numbers and detection of a CT model on phantoms.

        With --data, and not --quick, the simulated noise is also held against repeats.
        """
        from model_store.evaluation.physics.session import measure_physics  # noqa: PLC0415
        from model_store.evaluation.session import ReleasedModel  # noqa: PLC0415
        from model_store.training.recipe_of import own_recipe  # noqa: PLC0415
        from model_store.training.release import refuse_signed, write_physics  # noqa: PLC0415

        console = Console()
        name, _, version = model.partition("@")
        folder = zoo / name / version
        try:
            released = ReleasedModel(folder, threads)
            if released.manifest.input.units != "HU":
                raise DataError(f"{model} is no CT model: its input is not in HU")
            if strength is None:
                strength = released.manifest.strength
            if write:
                refuse_signed(folder)  # rather now than in minutes
                own_recipe(folder, released.manifest)  # the card needs it
            results = measure_physics(released, data, strength, quick=quick, sweep=sweep)
        except ModelStoreError as error:
            raise failed(console, error) from error
        if out is not None:
            text = json.dumps(results.summary, indent=2)
            out.write_text(text + "\n", encoding="utf-8")
        if write:
            write_physics(folder, results.for_manifest)
        for table in results.tables:
            _print(table, console)
        if sweep:
            found = results.summary["sweep"]
            console.print(f"largest strength that keeps every limit: {found['strength'] or 'none'}")
            for condition, best in found["by_condition"].items():
                console.print(f"  {condition}: {best or 'none'}", highlight=False)


def _print(table: dict[str, Any], console: Console) -> None:
    shown = Table(*table["columns"], title=table["title"])
    for row in table["rows"]:
        shown.add_row(*("" if cell is None else str(cell) for cell in row))
    show_whole(console, shown)

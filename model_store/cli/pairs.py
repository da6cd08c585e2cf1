"""The command ``model-store pairs``: what a recipe would be trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from model_store.cli.console import failed, progress_bar
from model_store.errors import ModelStoreError
from model_store.terminal import show_whole


def add_pairs(app: typer.Typer) -> None:
    """Add the command to `app`."""

    @app.command()
    def pairs(
        recipe: Annotated[
            Path, typer.Argument(help='TOML recipe with data.kind = "pairs", or the name of one')
        ],
        data: Annotated[Path, typer.Option(help="folder that the recipe's pairs are below")],
    ) -> None:
        """Find, read and check the pairs of a recipe, without training on them.

        Says how many there are for training, validation and test, how far they are shifted, and
        what is refused or has no partner.

        Example: model-store pairs drl-pairs --data DATA
        """
        from model_store.training.pairs.inspection import inspect_pairs  # noqa: PLC0415
        from model_store.training.recipe_file import recipe_path  # noqa: PLC0415

        console = Console()
        try:
            with progress_bar(console) as told:
                found = inspect_pairs(recipe_path(recipe), data, told)
        except ModelStoreError as error:
            raise failed(console, error) from error
        table = Table("", "patients", "pairs", "noise of one image", title="Pairs")
        for row in found.rows:
            table.add_row(*row)
        show_whole(console, table)
        for line in found.lines:
            console.print(line, highlight=False, soft_wrap=True)

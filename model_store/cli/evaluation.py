"""The command ``model-store evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from model_store.cli.console import failed, progress_bar
from model_store.cli.options import Filters, Markdown, Out, Quick, Threads, limit_threads
from model_store.cli.results import tell
from model_store.errors import ModelStoreError

Data = Annotated[
    Path, typer.Option(help="folder that the recipe's held-out data, or the pairs, are below")
]
Weights = Annotated[
    Path | None,
    typer.Option(help="folder with the weights of LPIPS; without it, no perceptual distance"),
]


def add_evaluation(app: typer.Typer, zoo_folder: Path) -> None:
    """Add the command to `app`; model versions are looked for in `zoo_folder` by default."""

    @app.command()
    def evaluate(  # noqa: PLR0917
        model: Annotated[str, typer.Argument(help="NAME@VERSION")],
        data: Data,
        zoo: Annotated[Path, typer.Option(help="folder of model versions")] = zoo_folder,
        weights: Weights = None,
        filters: Filters = None,
        pairs: Annotated[
            Path | None,
            typer.Option(help='TOML with [data] of kind "pairs": measure on these, as they are'),
        ] = None,
        data_of: Annotated[
            str | None,
            typer.Option(
                help="recipe (file, shipped name, or NAME@VERSION) whose held-out data to measure "
                "on; absent: the version's own, or that of the one it was adopted like"
            ),
        ] = None,
        compare: Annotated[bool, typer.Option(help="against classical filters")] = True,
        out: Out = None,
        markdown: Markdown = None,
        write: Annotated[
            bool, typer.Option(help="put summary and validity into manifest and card")
        ] = False,
        quick: Quick = False,
        threads: Threads = 0,
    ) -> None:
        """Measure a version on held-out data, against filters, and where it begins to harm.

        A version that was trained on pairs is measured on those of the patients kept for the test.

        Example: model-store evaluate drunet-ct@1.3.0 --data DATA --pairs pairs.toml
        """
        from model_store.evaluation.filter_file import FilterFile  # noqa: PLC0415
        from model_store.evaluation.pairs import read_section  # noqa: PLC0415
        from model_store.evaluation.report import evaluate_version  # noqa: PLC0415
        from model_store.training.release import refuse_signed, write_metrics  # noqa: PLC0415

        console = Console()
        limit_threads(threads)
        name, _, version = model.partition("@")
        folder = zoo / name / version
        try:
            if write:
                refuse_signed(folder)  # rather now than in minutes
            with progress_bar(console) as told:
                results = evaluate_version(
                    folder,
                    data,
                    weights=weights,
                    filters=FilterFile(filters, quick=quick) if compare else None,
                    pairs=None if pairs is None else read_section(pairs),
                    data_of=data_of,
                    quick=quick,
                    threads=threads,
                    told=told,
                )
            if write:
                write_metrics(folder, results, beside=pairs is not None)
        except ModelStoreError as error:
            raise failed(console, error) from error
        for line in results["refused"]:
            console.print(f"refused: {line}", highlight=False, soft_wrap=True)
        tell(results, console, out, markdown)

"""The commands ``model-store arms`` and ``model-store reproduce``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from model_store.cli.console import failed, progress_bar
from model_store.cli.options import (
    Backbones,
    Filters,
    Markdown,
    Out,
    Quick,
    Threads,
    TrainingPrecision,
    limit_threads,
)
from model_store.cli.results import tell
from model_store.errors import ModelStoreError

if TYPE_CHECKING:
    from model_store.reports.reproduction import Reproduction

Data = Annotated[Path, typer.Option(help="folder that the recipes' images are below")]
PhantomOption = Annotated[
    bool, typer.Option(help="draw the picture of a digital phantom, which is nobody's image")
]
Whole = Annotated[bool, typer.Option(help="score whole images, not their central crops")]


def add_arms(app: typer.Typer, zoo_folder: Path) -> None:
    """Add the commands to `app`; model versions are looked for in `zoo_folder` by default."""

    @app.command()
    def arms(  # noqa: PLR0917
        arm: Annotated[list[str], typer.Argument(help="run folders, or NAME@VERSION")],
        data: Data,
        zoo: Annotated[Path, typer.Option(help="folder of model versions")] = zoo_folder,
        weights: Backbones = None,
        filters: Filters = None,
        out: Out = None,
        markdown: Markdown = None,
        figures: Annotated[
            Path | None,
            typer.Option(help="folder for picture.png, curves.png and sweep.png of all arms"),
        ] = None,
        quick: Quick = False,
        whole: Whole = False,
        phantom: PhantomOption = False,
        threads: Threads = 0,
    ) -> None:
        """Measure several arms on the same cases, beside what the publication reports.

        Example: model-store arms runs/dngan-mse runs/dngan --data DATA --figures out
        """
        console = Console()
        limit_threads(threads)
        try:
            results = _compared(
                arm, data, zoo, console, weights=weights, filters=filters, quick=quick,
                whole=whole, phantom=phantom, figures=figures,
            )  # fmt: skip
        except ModelStoreError as error:
            raise failed(console, error) from error
        tell(results, console, out, markdown)

    @app.command()
    def reproduce(  # noqa: PLR0917
        publication: Annotated[str, typer.Argument(help="name of a publication, or 'list'")],
        data: Data = Path(),
        out: Annotated[Path, typer.Option(help="folder for runs, tables and figures")] = Path(
            "reproduction"
        ),
        own: Annotated[
            Path | None,
            typer.Option("--with", help="TOML whose tables replace keys of every arm"),
        ] = None,
        iterations: Annotated[
            int | None, typer.Option(min=1, help="of every arm; absent: the recipes'")
        ] = None,
        paper: Annotated[
            bool, typer.Option(help="the publication's settings; needs a GPU")
        ] = False,
        weights: Backbones = None,
        filters: Filters = None,
        precision: Annotated[
            TrainingPrecision | None,
            typer.Option(help="arithmetic of the training; absent: the recipes'"),
        ] = None,
        quick: Quick = False,
        whole: Whole = False,
        phantom: PhantomOption = False,
        threads: Threads = 0,
    ) -> None:
        """Train all arms of a publication, then measure and show them together.

        What is done in the folder already is not done again, so that an interrupted command goes
        on. Writes tables.md, results.json, picture.png, curves.png and sweep.png.

        Example: model-store reproduce n2n-xray --data DATA --with own.toml --iterations 2000
        """
        from model_store.reports.reproduction import (  # noqa: PLC0415
            Reproduction,
            ReproductionPlan,
            publications,
        )

        console = Console()
        if publication == "list":
            for name, item in publications().items():
                console.print(f"{name}: {len(item.recipes)} arms, {item.reads}", highlight=False)
            return
        limit_threads(threads)
        try:
            made = Reproduction(ReproductionPlan.named(publication), out, data, weights)
            if paper and iterations is None:
                made.refuse_without_gpu()
            runs = _trained(
                made,
                made.recipes(paper=paper, iterations=iterations, own=own),
                console,
                precision,
            )
            results = _compared(
                [str(run) for run in runs], data, zoo_folder, console, weights=weights,
                filters=filters, quick=quick, whole=whole, phantom=phantom, figures=out,
            )  # fmt: skip
        except ModelStoreError as error:
            raise failed(console, error) from error
        tell(results, console, out / "results.json", out / "tables.md")
        console.print(f"tables and figures: {out}", highlight=False)


def _trained(
    made: Reproduction,
    recipes: Sequence[Path],
    console: Console,
    precision: TrainingPrecision | None,
) -> list[Path]:
    from model_store.evaluation.lpips import Lpips  # noqa: PLC0415
    from model_store.training.checkpoint import Progress  # noqa: PLC0415

    distance = Lpips.where(made.weights)
    runs = []
    made.check(recipes[0])  # all arms hold out the same
    with progress_bar(console) as told:
        for number, recipe in enumerate(recipes):
            title = f"{recipe.stem} ({number + 1} of {len(recipes)})"
            told(f"{title}: preparing", 0, 1)

            def report(done: Progress, title: str = title) -> None:
                told(title, done.step, done.iterations)

            runs.append(
                made.train(
                    recipe,
                    precision=precision.value if precision else None,
                    distance=distance,
                    report=report,
                    said=lambda text: console.print(text, highlight=False, soft_wrap=True),
                )
            )
            console.print(f"trained: {runs[-1]}", highlight=False, soft_wrap=True)
    return runs


def _compared(
    names: Sequence[str],
    data: Path,
    zoo: Path,
    console: Console,
    *,
    weights: Path | None,
    filters: Path | None,
    quick: bool,
    whole: bool,
    phantom: bool,
    figures: Path | None,
) -> dict[str, Any]:
    from model_store.evaluation.arms import Arm, compare_arms  # noqa: PLC0415
    from model_store.evaluation.filter_file import FilterFile  # noqa: PLC0415
    from model_store.reports.arms_figures import draw  # noqa: PLC0415

    arms = [Arm.open(text, zoo) for text in names]
    scores = None if filters is None else FilterFile(filters, quick=quick)
    results = compare_arms(
        arms,
        data,
        weights=weights,
        filters=scores,
        quick=quick,
        whole=whole,
        report=lambda name: console.print(f"measuring {name}", highlight=False),
    )
    if figures is not None:
        figures.mkdir(parents=True, exist_ok=True)
        runs = [Path(text) for text in names if Path(text).is_dir()]
        drawn = draw(
            arms, runs, data, figures, weights=weights, filters=scores, phantom=phantom, quick=quick
        )
        for said in drawn:
            console.print(said, highlight=False, soft_wrap=True)
    return results

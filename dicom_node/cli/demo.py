"""``dicom-node demo``: the main job on real images, over real DICOM, on this machine."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape


def demo(  # noqa: PLR0917 -- options, given by name
    pacs: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT:AET", help="A PACS of yours that gets the results too."),
    ] = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Download nothing; without cached images a phantom.")
    ] = False,
    report: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder for the report and the node's log.")
    ] = Path("demo-report"),
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep images, results, ledger and node.toml there too.")
    ] = False,
    timeout: Annotated[
        float, typer.Option(min=1, metavar="SECONDS", help="Longest wait for the results.")
    ] = 300.0,
    picture: Annotated[
        Path | None,
        typer.Option(metavar="PNG", help="Also write a picture of before, after and difference."),
    ] = None,
) -> None:
    """Send a CT series and a radiograph through a node of its own and compare what comes back."""
    # Imported here, so that no other command loads pynetdicom, Pillow and Jinja2.
    from dicom_node.demo.errors import DemoError  # noqa: PLC0415
    from dicom_node.demo.network import Endpoint  # noqa: PLC0415
    from dicom_node.demo.run import Options, run, table  # noqa: PLC0415

    # A closed terminal or a `kill` ends the node, too, as Ctrl-C does.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)
    console = Console()
    try:
        given = Endpoint.parse(pacs) if pacs else None
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--pacs") from error
    options = Options(report.resolve(), given, offline, keep, timeout, picture)
    try:
        outcome = run(options, console)
    except DemoError as error:
        console.print(f"[bold red]Failed:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        if options.log.exists():
            console.print(f"Log of the node: {options.log}", highlight=False, soft_wrap=True)
        console.print(
            f"Its ledger, spool and node.toml: {options.work}", highlight=False, soft_wrap=True
        )
        raise typer.Exit(1) from error
    console.print()
    console.print(table(outcome))
    console.print()
    console.print(f"Report: {outcome.html}", highlight=False, soft_wrap=True)


def _leave(number: int, _frame: object) -> None:
    raise SystemExit(128 + number)

"""``dicom-node route``: which routes there are, and why one takes an object or does not."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from dicom_node.cli.common import ConfigOption, JsonOption, plain_errors, settings, show

app = typer.Typer(help="Routes.", no_args_is_help=True)


@app.command("list")
@plain_errors
def list_routes(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List the routes in the order in which they are tried."""
    tree = settings(config)
    none = None if as_json else "the version's"
    rows = [
        {
            "route": route.name,
            "when": " and ".join(str(condition) for condition in route.when) or "always",
            "model": str(route.model),
            "strength": none if route.strength is None else route.strength,
            "output": route.output.value,
            "destinations": ", ".join(route.destinations),
        }
        for route in tree.domain_routes()
    ]
    show(rows, title=f"routes ({tree.routing.matches} match)", as_json=as_json, empty="no routes")


@app.command()
@plain_errors
def explain(
    file: Annotated[Path, typer.Argument(help="A DICOM file.", exists=True, dir_okay=False)],
    config: ConfigOption = None,
) -> None:
    """Say which routes would take a file, and why the others would not."""
    # Imported here, so that no other command loads what reads DICOM files.
    from dicom_node.dicom.header import read_header  # noqa: PLC0415
    from dicom_node.models import Models  # noqa: PLC0415
    from dicom_node.routing.deciding import Decider  # noqa: PLC0415

    tree = settings(config)
    decider = Decider(tree, Models.at_hand(tree))
    dataset = read_header(file, file.name)
    console = Console(highlight=False)
    for each in decider.explain(dataset):
        if each.matched:
            held = " and ".join(each.reasons) or "it has no conditions"
            console.print(f"[green]matches[/]  {escape(f'{each.route}: {held}')}")
        elif not each.considered:
            console.print(f"[dim]not tried[/]  {escape(each.route)}: an earlier route matched")
        else:
            reasons = "; ".join(each.reasons)
            console.print(f"[red]no match[/]  {escape(f'{each.route}: does not hold: {reasons}')}")
    decision = decider.decide(dataset)
    for wanted in decision.wanted:
        console.print(
            f"-> route {wanted.route.name}: denoised by {wanted.model} at strength "
            f"{wanted.strength:g}, sent to {', '.join(wanted.route.destinations)}"
        )
    for ended in decision.ended:
        where = "" if ended.route == "-" else f"route {ended.route}: "
        console.print(escape(f"-> {where}{ended.state.value}: {ended.reason}"))

"""``dicom-node destination``: what waits for a destination, and its dead letters."""

from __future__ import annotations

from typing import Annotated

import typer

from dicom_node.cli.common import ConfigOption, JsonOption, plain_errors, reader, show
from dicom_node.ledger import queries

app = typer.Typer(help="Destinations and their deliveries.", no_args_is_help=True)


@app.command("list")
@plain_errors
def list_destinations(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List destinations with what waits, what was delivered and what failed."""
    node = reader(config)
    with node.ledger.read() as session:
        counts = queries.destinations(session)
    configured = {each.name: each for each in node.settings.destinations}
    rows = []
    for name in sorted({*configured, *counts}):
        each = configured.get(name)
        count = counts.get(name, {})
        rows.append(
            {
                "destination": name,
                "address": f"{each.ae_title}@{each.host}:{each.port}" if each else "(removed)",
                "waiting": count.get("waiting", 0),
                "delivered": count.get("delivered", 0),
                "failed": count.get("failed", 0),
                "next_try": count.get("next_try"),
                "last_answer": count.get("last_answer"),
            }
        )
    show(rows, title="destinations", as_json=as_json, empty="no destinations configured")


@app.command("failed")
@plain_errors
def failed(
    name: Annotated[str | None, typer.Argument(help="Destination; absent: all.")] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """List dead letters: deliveries that failed for good, with what the destination answered."""
    with reader(config).ledger.read() as session:
        rows = queries.dead_letters(session, name)
    show(rows, title="dead letters", as_json=as_json, empty="no dead letters")

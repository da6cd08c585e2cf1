"""``dicom-node db``: the ledger's database."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from dicom_node.cli.common import ConfigOption, plain_errors, settings
from dicom_node.intake.marker import require_unused
from dicom_node.ledger import bounds, revision
from dicom_node.ledger.engine import make_engine

app = typer.Typer(help="The ledger's database.", no_args_is_help=True)


@app.command()
@plain_errors
def upgrade(
    config: ConfigOption = None,
    begin_anew: Annotated[
        bool, typer.Option("--begin-anew", help="Make an empty ledger although the spool is not.")
    ] = False,
) -> None:
    """Bring the database to this release's migration; harmless if it is there."""
    from dicom_node.ledger import migrate  # noqa: PLC0415 -- Alembic, which no other command needs

    tree = settings(config)
    engine = make_engine(tree.database_url, bounds.MIGRATION)
    if not begin_anew and revision.current(engine) is None:
        require_unused(tree.storage.path, engine)
    migrate.upgrade(engine)
    Console().print(f"the ledger is at migration {revision.current(engine)}")
    if begin_anew:
        Console().print(
            "what the former one knew is in the spool only: 'dicom-node study adopt' takes it in",
            soft_wrap=True,
        )

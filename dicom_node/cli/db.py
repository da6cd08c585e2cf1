"""``dicom-node db``: the ledger's database."""

from __future__ import annotations

import typer
from rich.console import Console

from dicom_node.cli.common import ConfigOption, plain_errors, settings
from dicom_node.ledger import bounds, revision
from dicom_node.ledger.engine import make_engine

app = typer.Typer(help="The ledger's database.", no_args_is_help=True)


@app.command()
@plain_errors
def upgrade(config: ConfigOption = None) -> None:
    """Bring the database to this release's migration; harmless if it is there."""
    from dicom_node.ledger import migrate  # noqa: PLC0415 -- Alembic, which no other command needs

    engine = make_engine(settings(config).database_url, bounds.MIGRATION)
    migrate.upgrade(engine)
    Console().print(f"the ledger is at migration {revision.current(engine)}")

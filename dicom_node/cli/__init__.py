"""The command line: ``dicom-node``."""

from __future__ import annotations

import typer

from dicom_node.cli import audit, check, config, db, destination, route, run, study
from dicom_node.cli.brackets import Root
from dicom_node.cli.demo import demo
from dicom_node.cli.denoise import denoise
from dicom_node.cli.model import app as model
from dicom_node.cli.model.common import flowing
from dicom_node.cli.replay import replay

app = typer.Typer(
    name="dicom-node",
    cls=Root,
    help="A DICOM node that denoises CT and projection X-ray beside the PACS.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
)
app.command("up")(run.up)
app.command("intake")(run.intake)
app.command("upkeep")(run.upkeep)
app.command("check")(check.check)
app.command("demo")(demo)
app.command("denoise", help=flowing(denoise.__doc__))(denoise)
app.add_typer(config.app, name="config")
study.app.command("replay")(replay)
app.add_typer(study.app, name="study")
app.add_typer(route.app, name="route")
app.add_typer(destination.app, name="destination")
app.add_typer(audit.app, name="audit")
app.add_typer(db.app, name="db")
app.add_typer(model.app, name="model")

"""``dicom-node config``: a commented node.toml, and the schema of every key."""

from __future__ import annotations

import json
import sys
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from dicom_node.cli.common import ConfigOption, plain_errors
from dicom_node.errors import ConfigError
from dicom_node.full_disk import reason_of
from dicom_node.settings import Settings, load
from dicom_node.settings.source import source_of

app = typer.Typer(help="The configuration.", no_args_is_help=True)


@app.command()
@plain_errors
def init(
    path: Annotated[Path, typer.Argument(help="Where to write it.")] = Path("node.toml"),
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
) -> None:
    """Write a commented node.toml to start from."""
    if path.exists() and not force:
        raise ConfigError(f"{path} exists; use --force to replace it")
    try:
        path.write_text((files("dicom_node") / "node.toml").read_text("utf-8"), encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {reason_of(error)}") from error
    Console(highlight=False, markup=False, soft_wrap=True).print(
        f"wrote {path}; edit [[peers]], [[destinations]] and [[routes]], then run\n"
        f"  dicom-node check --config {path}\n  dicom-node up --config {path}"
    )


@app.command()
@plain_errors
def show(config: ConfigOption = None) -> None:
    """Print the whole settings tree as it is in effect; secrets are masked."""
    sys.stdout.write(load(source_of(config)).model_dump_json(indent=2) + "\n")


@app.command()
def schema() -> None:
    """Print the JSON schema of node.toml."""
    sys.stdout.write(json.dumps(Settings.model_json_schema(), indent=2) + "\n")

"""``dicom-node check``: whether everything that the configuration names works."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from dicom_node.cli.common import ConfigOption, JsonOption, plain_errors, settings


@plain_errors
def check(
    config: ConfigOption = None,
    local: Annotated[
        bool, typer.Option("--local", help="Leave out the C-ECHO to each destination.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Say in plain words whether everything that node.toml names works; exit code 1 if not."""
    from dicom_node.checks import Finding, look  # noqa: PLC0415 -- pynetdicom and Celery

    tree = settings(config)
    findings: list[Finding] = []
    console = Console(highlight=False, stderr=as_json)
    for finding in look(tree, destinations=not local):
        findings.append(finding)
        if not as_json:
            mark = "[green]ok  [/]" if finding.ok else "[bold red]FAIL[/]"
            said = escape(f"{finding.what}: {finding.message}")
            console.print(f"{mark} {said}", soft_wrap=True)
    if as_json:
        sys.stdout.write(json.dumps([asdict(each) for each in findings], indent=2) + "\n")
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)

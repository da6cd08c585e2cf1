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
from dicom_node.errors import LedgerError
from dicom_node.finding import Finding
from dicom_node.ledger.processes import Role
from dicom_node.settings import Settings
from dicom_node.settings.source import source_of


@plain_errors
def check(
    config: ConfigOption = None,
    local: Annotated[
        bool, typer.Option("--local", help="Leave out the C-ECHO to each destination.")
    ] = False,
    role: Annotated[
        Role | None,
        typer.Option(
            "--role",
            help="Only whether this machine's process of this role gives signs of life; for "
            "probes. Where that is not known, it is no fault of the process.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Say in plain words whether everything that node.toml names works, and whether the node runs.

    Exit code: 0, all is well, or with a warning, such as that nothing runs yet; 1, something is
    not.
    """
    if role is not None:
        _probe(settings(config), role)
        return
    from dicom_node.checks import look  # noqa: PLC0415 -- pynetdicom and Celery

    tree = settings(config)
    findings: list[Finding] = []
    console = Console(highlight=False, stderr=as_json)
    for finding in look(tree, source_of(config), destinations=not local):
        findings.append(finding)
        if not as_json:
            mark = "[green]ok  [/]" if finding.ok else "[bold red]FAIL[/]"
            mark = "[yellow]warn[/]" if finding.warning else mark
            said = escape(f"{finding.what}: {finding.message}")
            console.print(f"{mark} {said}", soft_wrap=True)
    if as_json:
        sys.stdout.write(json.dumps([asdict(each) for each in findings], indent=2) + "\n")
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)


def _probe(tree: Settings, role: Role) -> None:
    from dicom_node import running  # noqa: PLC0415 -- a probe loads no more than it needs
    from dicom_node.heartbeat import open_ledger  # noqa: PLC0415

    ledger = open_ledger(tree)
    try:
        why = running.silent_here(ledger, role)
    except LedgerError as error:
        sys.stdout.write(f"not known: {error}\n")
        return
    finally:
        ledger.engine.dispose()
    sys.stdout.write(f"{why or f'{role} gives signs of life'}\n")
    if why:
        raise typer.Exit(1)

"""``dicom-node audit``: who sent what, what made each result, where it went."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer
from rich.console import Console

from dicom_node.cli.common import ConfigOption, JsonOption, plain_errors, reader, show
from dicom_node.errors import ConfigError
from dicom_node.ledger import queries
from dicom_node.ledger.proof import Scope
from dicom_node.ledger.unit_of_work import Ledger

if TYPE_CHECKING:
    from dicom_node.audit.reconcile import DestinationProof, Report

app = typer.Typer(help="The audit record.", no_args_is_help=True)

_COLUMNS = (
    "id", "at", "event", "association_id", "calling_ae_title", "address", "study_uid",
    "sop_instance_uid", "batch_id", "work_item_id", "delivery_id", "result_sop_instance_uid",
    "model_name", "model_version", "model_sha256", "engine", "settings", "detail",
)  # fmt: skip


_AT_ONCE = 1000


class ExportForm(StrEnum):
    """Form of an export."""

    JSONL = "jsonl"
    CSV = "csv"


def _aware(moment: datetime | None) -> datetime | None:
    if moment is None or moment.tzinfo is not None:
        return moment
    return moment.replace(tzinfo=UTC)


@app.command("list")
@plain_errors
def list_events(
    config: ConfigOption = None,
    study: Annotated[str | None, typer.Option(help="Only this Study Instance UID.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Newest events to list.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """List the newest events."""
    with reader(config).ledger.read() as session:
        rows = queries.audit(session, study_uid=study, limit=limit)
    if not as_json:
        rows = [_short(row) for row in rows]
    show(rows, title="audit", as_json=as_json, empty="nothing has happened yet")


def _short(row: dict[str, Any]) -> dict[str, Any]:
    detail = row["detail"] or {}
    who = row["calling_ae_title"]
    model = f"{row['model_name']}@{row['model_version']}" if row["model_name"] else None
    return {
        "at": row["at"].isoformat(timespec="milliseconds"),
        "event": row["event"],
        "from": f"{who}@{row['address']}" if who else None,
        "instance": row["sop_instance_uid"],
        "model": model,
        "detail": ", ".join(
            f"{key}={value}"
            for key, value in detail.items()
            if key not in ("sop_instance_uid", "sha256") and value not in (None, "")
        ),
    }


@app.command()
@plain_errors
def export(  # noqa: PLR0917 -- options of a command
    path: Annotated[Path | None, typer.Argument(help="File; absent: standard output.")] = None,
    config: ConfigOption = None,
    form: Annotated[ExportForm, typer.Option(help="Form of the export.")] = ExportForm.JSONL,
    since: Annotated[datetime | None, typer.Option(help="From this time on, UTC.")] = None,
    until: Annotated[datetime | None, typer.Option(help="Before this time, UTC.")] = None,
    study: Annotated[str | None, typer.Option(help="Only this Study Instance UID.")] = None,
) -> None:
    """Export events in order, one a line."""
    rows = _events(reader(config).ledger, _aware(since), _aware(until), study)
    if path is None:
        _write(rows, sys.stdout, form)
        return
    try:
        with path.open("w", encoding="utf-8", newline="") as file:
            _write(rows, file, form)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from error


def _events(
    ledger: Ledger, since: datetime | None, until: datetime | None, study: str | None
) -> Iterator[dict[str, Any]]:
    """Events up to now, read in pieces: none is written out while the ledger is held open."""
    with ledger.read() as session:
        last = queries.last_audit(session)
    after = 0
    while after < last:
        with ledger.read() as session:
            rows = queries.audit(
                session, since=since, until=until, study_uid=study, limit=_AT_ONCE, after=after
            )
        yield from (row for row in rows if row["id"] <= last)
        after = rows[-1]["id"] if rows else last


def _write(rows: Any, file: TextIO, form: ExportForm) -> None:
    if form is ExportForm.JSONL:
        for row in rows:
            file.write(json.dumps(row, default=_text, ensure_ascii=False) + "\n")
        return
    writer = csv.DictWriter(file, _COLUMNS)
    writer.writeheader()
    for row in rows:
        flat = {name: json.dumps(value) if isinstance(value, dict) else value
                for name, value in row.items()}  # fmt: skip
        writer.writerow(flat | {"at": _text(row["at"])})


def _text(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


_OUTCOMES = {
    "PROVEN": "[green]proven[/]: nothing was lost",
    "LOST": "[bold red]not proven[/]: something is missing or has failed",
    "UNPROVABLE": "[yellow]not proven[/]: nothing is missing or has failed, but not "
    "everything could be asked for or has ended yet",
}


@app.command("reconcile")
@plain_errors
def reconcile_command(  # noqa: PLR0917 -- options of a command
    config: ConfigOption = None,
    study: Annotated[str | None, typer.Option(help="Only this Study Instance UID.")] = None,
    since: Annotated[
        datetime | None, typer.Option(help="Only what was received from this time on, UTC.")
    ] = None,
    until: Annotated[
        datetime | None, typer.Option(help="Only what was received before this time, UTC.")
    ] = None,
    destination: Annotated[str | None, typer.Option(help="Ask only this destination.")] = None,
    spool: Annotated[
        bool, typer.Option("--spool", help="Also read every file that should be in the spool.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Prove that nothing was lost; changes nothing.

    Every accepted instance must have ended under every route that matched it, and every
    destination must hold, by its own answer to C-FIND, each result that it took. With --spool
    every stored file must be there with the recorded SHA-256, and no file of an instance may be
    unknown to the ledger.

    Exit code: 0, all of it is proven; 1, something is missing or has failed, or the ledger or
    the configuration could not be read; 3, nothing is missing or has failed, but something could
    not be proven: a destination offers no C-FIND or does not answer, or work is still under way.
    """
    from dicom_node.audit.reconcile import ProofOutcome, reconcile  # noqa: PLC0415 -- loads pynetdicom

    node = reader(config)
    report = reconcile(
        node.ledger,
        node.settings,
        Scope(study, _aware(since), _aware(until)),
        destination=destination,
        spool=node.spool if spool else None,
    )
    if as_json:
        document = {"verdict": report.outcome.name.lower()} | asdict(report)
        sys.stdout.write(json.dumps(document, default=_text, indent=2) + "\n")
    else:
        _print(report)
    if report.outcome is not ProofOutcome.PROVEN:
        raise typer.Exit(report.outcome.value)


def _print(report: Report) -> None:
    console = Console(highlight=False)
    ledger = report.ledger
    states = ", ".join(f"{count} {state}" for state, count in ledger.work_items.items() if count)
    console.print(
        f"{ledger.instances} instances accepted, "
        f"{sum(ledger.work_items.values())} work items: {states or 'none'}"
    )
    show(
        [_counts(each) for each in report.destinations],
        title="destinations", as_json=False, empty="nothing to deliver",
    )  # fmt: skip
    if report.spool is not None:
        console.print(f"{report.spool.checked} files in the spool read")
    lists: list[tuple[str, list[dict[str, Any]]]] = [
        ("missing", [asdict(one) for each in report.destinations for one in each.missing]),
        ("failed, waiting for a person", ledger.failed),
        ("contradictions in the ledger", ledger.contradictions),
        ("faults of the spool", list(report.spool.faults) if report.spool else []),
        (
            "in the spool, and unknown to the ledger ('dicom-node study adopt' takes them in)",
            list(report.spool.unknown) if report.spool else [],
        ),
        ("not ended yet", ledger.unfinished),
        ("not planned yet", ledger.unplanned),
    ]
    for title, rows in lists:
        if rows:
            show(rows, title=title, as_json=False, empty="")
    console.print(_OUTCOMES[report.outcome.name])


def _counts(found: DestinationProof) -> dict[str, Any]:
    return {
        "destination": found.destination,
        "delivered": found.delivered,
        "found": found.found,
        "missing": len(found.missing),
        "unprovable": found.unprovable,
        "waiting": found.waiting,
        "failed": found.failed,
        "why": found.reason,
    }

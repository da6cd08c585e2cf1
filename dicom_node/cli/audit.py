"""``dicom-node audit``: who sent what, what made each result, where it went."""

from __future__ import annotations

import csv
import json
import sys
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer

from dicom_node.cli.common import ConfigOption, JsonOption, plain_errors, reader, show
from dicom_node.db import queries
from dicom_node.errors import ConfigError

app = typer.Typer(help="The audit record.", no_args_is_help=True)

_COLUMNS = (
    "id", "at", "event", "association_id", "calling_ae_title", "address", "study_uid",
    "sop_instance_uid", "batch_id", "work_item_id", "delivery_id", "result_sop_instance_uid",
    "model_name", "model_version", "model_sha256", "engine", "settings", "detail",
)  # fmt: skip


class Form(StrEnum):
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
        rows = list(queries.audit(session, study_uid=study, limit=limit))
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
    form: Annotated[Form, typer.Option(help="Form of the export.")] = Form.JSONL,
    since: Annotated[datetime | None, typer.Option(help="From this time on, UTC.")] = None,
    until: Annotated[datetime | None, typer.Option(help="Before this time, UTC.")] = None,
    study: Annotated[str | None, typer.Option(help="Only this Study Instance UID.")] = None,
) -> None:
    """Export events in order, one a line."""
    with reader(config).ledger.read() as session:
        rows = queries.audit(session, since=_aware(since), until=_aware(until), study_uid=study)
        if path is None:
            _write(rows, sys.stdout, form)
            return
        try:
            with path.open("w", encoding="utf-8", newline="") as file:
                _write(rows, file, form)
        except OSError as error:
            raise ConfigError(f"{path} cannot be written: {error.strerror}") from error


def _write(rows: Any, file: TextIO, form: Form) -> None:
    if form is Form.JSONL:
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

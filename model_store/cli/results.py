"""What commands that measure show: tables and statements, on the console and in files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rich.console import Console


def tell(
    results: dict[str, Any], console: Console, out: Path | None, markdown: Path | None
) -> None:
    """Print the summary of an evaluation; write all of it as JSON, its tables as Markdown."""
    from model_store.evaluation.card import table_of  # noqa: PLC0415
    from model_store.evaluation.report import print_summary  # noqa: PLC0415

    summary = results["summary"]
    if out is not None:
        out.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    if markdown is not None:
        parts = [table_of(table) for table in summary["tables"]]
        if orders := summary.get("orders"):
            parts.append("\n".join(f"- {statement}" for statement in orders))
        markdown.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    print_summary(results, console)

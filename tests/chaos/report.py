"""The table at the end, and everything behind it as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.chaos.trial import Line

HEADINGS = (
    "fault", "form", "images", "in flight", "lost", "wrong", "sent again", "set aside",
    "next result, s", "all done, s", "",
)  # fmt: skip


def cells(line: Mapping[str, Any]) -> list[str]:
    """One row of the table, from a line of the JSON document."""
    name, form = line["fault"], line["form"]
    if line["skipped"]:
        return [name, form, *[""] * 8, f"not done: {line['skipped']}"]
    again = line["sent_again"]
    lost_answers = sum(one["explained"] for one in again)
    others = len(again) - lost_answers
    return [
        name, form, f"{line['images']:,}", f"{line['in_flight']:,}", str(len(line["lost"])),
        str(len(line["wrong"])),
        f"{lost_answers}" + (f" + {others} WITHOUT A REASON" if others else ""),
        str(len(line["set_aside"])), _seconds(line["next_seconds"]),
        _seconds(line["done_seconds"]), "; ".join([*line["broken"], *line["notes"]]),
    ]  # fmt: skip


def document(lines: Sequence[Line], about: Mapping[str, Any]) -> dict[str, Any]:
    """Everything that the trial found, ready for JSON."""
    rows = [_row(line) for line in lines]
    return {
        **about,
        "holds": all(line.holds for line in lines),
        "images": sum(row["images"] for row in rows),
        "lost": sum(len(row["lost"]) for row in rows),
        "wrong": sum(len(row["wrong"]) for row in rows),
        "sent_again": sum(len(row["sent_again"]) for row in rows),
        "sent_again_without_reason": sum(
            not one["explained"] for row in rows for one in row["sent_again"]
        ),
        "lines": rows,
    }


def show(found: Mapping[str, Any], console: Console) -> None:
    """Print the table, and below it every object that needs a word."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in HEADINGS:
        numeric = heading not in ("fault", "form", "")
        table.add_column(heading, justify="right" if numeric else "left", overflow="fold")
    for line in found["lines"]:
        table.add_row(*cells(line), style=None if line["holds"] else "bold red")
    console.print(table)
    for text in _objects(found["lines"]):
        console.print(text, highlight=False)
    again = found["sent_again"] - found["sent_again_without_reason"]
    console.print(
        f"{found['images']:,} images answered with success: {found['lost']} lost, "
        f"{found['wrong']} wrong, {again} sent again since the PACS's answer was lost, "
        f"{found['sent_again_without_reason']} for no reason",
        style="bold green" if found["holds"] else "bold red",
    )


def markdown(lines: Iterable[Mapping[str, Any]]) -> str:
    """The same table for a page."""
    rule = ["---", "---", *["---:"] * 8, "---"]
    rows = [HEADINGS, rule, *map(cells, lines)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _objects(lines: Iterable[Mapping[str, Any]]) -> Iterable[str]:
    for line in lines:
        where = f"{line['form']}, {line['fault']}"
        for word in ("lost", "wrong"):
            for one in line[word]:
                yield f"{word.upper()} {one['uid']} ({where}): {one['what']}"
        for one in line["sent_again"]:
            why = one["reason"] or "NO REASON"
            how = "same bytes" if one["same_bytes"] else "OTHER BYTES"
            yield f"sent again {one['uid']} ({where}): {why}, {how}"


def _row(line: Line) -> dict[str, Any]:
    judgement = line.judgement
    return {
        "fault": line.fault,
        "form": line.form.value,
        "says": line.says,
        "holds": line.holds,
        "skipped": line.skipped,
        "images": line.images,
        "in_flight": line.in_flight,
        "lost": [asdict(one) for one in judgement.lost] if judgement else [],
        "wrong": [asdict(one) for one in judgement.wrong] if judgement else [],
        "sent_again": [
            {"uid": one.uid, "reason": one.reason, "same_bytes": one.same_bytes,
             "explained": one not in judgement.unexplained}
            for one in judgement.sent_again
        ] if judgement else [],
        "set_aside": dict(judgement.set_aside) if judgement else {},
        "next_seconds": _rounded(line.next_seconds),
        "done_seconds": _rounded(line.done_seconds),
        "broken": list(line.broken),
        "notes": list(line.notes),
    }  # fmt: skip


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)


def _seconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.1f}"

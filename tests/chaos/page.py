"""The table on ``docs/trial.md``, written from what a full run found."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from tests.chaos import report

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "trial.md"
RESULTS: Final = Path(__file__).resolve().parent / "results.json"
_ALL: Final = (
    "Everything behind the table, each object that was sent again or set aside among it, is in "
    "`tests/chaos/results.json`."
)
_BETWEEN: Final = re.compile(r"(<!-- trial -->\n).*?(<!-- /trial -->)", re.DOTALL)


def rendered(page: str, runs: Sequence[Mapping[str, Any]]) -> str:
    """The page's text with what the runs found: a sentence for each, and one table."""
    table = report.markdown([line for found in runs for line in found["lines"]])
    text = "\n\n".join([*map(_sentence, runs), _ALL, table])
    return _BETWEEN.sub(lambda match: f"{match[1]}{text}\n{match[2]}", page)


def write(runs: Sequence[Mapping[str, Any]]) -> None:
    """Keep what was found, and write the page's table."""
    RESULTS.write_text(json.dumps(runs, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(rendered(PAGE.read_text(encoding="utf-8"), runs), encoding="utf-8")


def _sentence(found: Mapping[str, Any]) -> str:
    again = found["sent_again"] - found["sent_again_without_reason"]
    return (
        f"`{found['command']}`, {found['started'][:10]}, commit {found['commit']}, "
        f"{found['minutes']:.0f} minutes on {found['machine']}: **{found['images']:,} images "
        f"answered with success, {found['lost']} lost, {found['wrong']} wrong, {again} sent again "
        "since the PACS's answer was lost, "
        f"{found['sent_again_without_reason']} for no reason.**"
    )

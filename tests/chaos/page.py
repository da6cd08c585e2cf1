"""The table on ``docs/trial.md``, written from what a full run found."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tests.chaos import report

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "trial.md"
RESULTS: Final = Path(__file__).resolve().parent / "results.json"
_BETWEEN: Final = re.compile(r"(<!-- trial -->\n).*?(<!-- /trial -->)", re.DOTALL)


def rendered(page: str, found: Mapping[str, Any]) -> str:
    """The page's text with the table of `found`."""
    again = found["sent_again"] - found["sent_again_without_reason"]
    verdict = (
        f"`{found['command']}`, {found['started'][:10]}, {found['minutes']:.0f} minutes on "
        f"{found['machine']}: **{found['images']:,} images answered with success, {found['lost']} "
        f"lost, {found['wrong']} wrong, {again} sent again since the PACS's answer was lost, "
        f"{found['sent_again_without_reason']} for no reason.** Everything behind the table is in "
        "`tests/chaos/results.json`."
    )
    text = f"{verdict}\n\n{report.markdown(found)}\n"
    return _BETWEEN.sub(lambda match: match[1] + text + match[2], page)


def write(found: Mapping[str, Any]) -> None:
    """Keep what was found, and write the page's table."""
    RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(rendered(PAGE.read_text(encoding="utf-8"), found), encoding="utf-8")

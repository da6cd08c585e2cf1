"""The page says what the last full run found, or that there is none."""

from __future__ import annotations

import json

from tests.chaos import __main__ as command
from tests.chaos import page


def test_the_page_is_that_of_the_results() -> None:
    text = page.PAGE.read_text(encoding="utf-8")
    if not page.RESULTS.exists():
        assert "No full run is kept yet." in text
        return
    runs = json.loads(page.RESULTS.read_text(encoding="utf-8"))
    assert page.rendered(text, runs) == text, "python -m tests.chaos --page FILE writes it"
    assert all(found["holds"] for found in runs)


def test_the_page_is_written_from_files_that_are_named() -> None:
    options = command._options(["--page", "one.json", "cluster.json"])
    assert [each.name for each in options.page] == ["one.json", "cluster.json"]

"""The page says what the last full run found, or that there is none."""

from __future__ import annotations

import json

from tests.chaos import page


def test_the_page_is_that_of_the_results() -> None:
    text = page.PAGE.read_text(encoding="utf-8")
    if not page.RESULTS.exists():
        assert "No full run is kept yet." in text
        return
    runs = json.loads(page.RESULTS.read_text(encoding="utf-8"))
    assert page.rendered(text, runs) == text, "python -m tests.chaos --page FILE writes it"
    assert all(found["holds"] for found in runs)

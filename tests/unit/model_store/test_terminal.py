"""Tables on a terminal."""

from __future__ import annotations

from io import StringIO

from rich.console import Console
from rich.table import Table

from model_store.terminal import show_whole


def test_a_table_is_whole_on_a_narrow_terminal() -> None:
    out, table = StringIO(), Table("image", "noise falls by")
    table.add_row("sharp kernel, quarter dose", "2.04 %")
    show_whole(Console(file=out, width=20), table)
    assert "sharp kernel, quarter dose" in out.getvalue()
    assert "noise falls by" in out.getvalue()

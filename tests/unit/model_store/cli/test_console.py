from __future__ import annotations

from io import StringIO

from rich.console import Console

from model_store.cli.console import failed
from model_store.errors import RecipeError


def test_an_error_is_one_line_however_long_and_shows_what_is_in_brackets() -> None:
    out = StringIO()
    error = RecipeError("own.toml: has no [data] of kind, " + "and so on " * 30)
    assert failed(Console(file=out, width=40), error).exit_code == 1
    assert out.getvalue() == f"RecipeError: {error}\n"

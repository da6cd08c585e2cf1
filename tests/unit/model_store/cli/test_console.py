from __future__ import annotations

from io import StringIO

from rich.console import Console

from model_store.cli.console import failed, progress_bar
from model_store.errors import RecipeError


def test_an_error_is_one_line_however_long_and_shows_what_is_in_brackets() -> None:
    out = StringIO()
    error = RecipeError("own.toml: has no [data] of kind, " + "and so on " * 30)
    assert failed(Console(file=out, width=40), error).exit_code == 1
    assert out.getvalue() == f"RecipeError: {error}\n"


def test_long_work_says_how_far_it_is_in_a_file_too() -> None:
    out = StringIO()
    with progress_bar(Console(file=out, width=20)) as told:
        for done in range(100):
            told("generator-mse, step", done, 100)
        told("measuring [held out]", 0, 3)
    assert out.getvalue() == "generator-mse, step 0/100\nmeasuring [held out] 0/3\n"

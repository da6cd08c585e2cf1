from __future__ import annotations

import pytest

from model_store.reports.tables import TextTable, number


def _texts(table: TextTable) -> list[list[str]]:
    return [[cell.text for cell in row] for row in table.rows]


def test_a_column_has_one_number_of_decimals() -> None:
    table = TextTable.of(
        {"columns": ["method", "PSNR"], "rows": [["input", 33.2246], ["model", 36.0], ["x", None]]}
    )
    assert _texts(table) == [["input", "33.22"], ["model", "36.00"], ["x", ""]]
    assert [cell.style for cell in table.header] == ["", "number"]
    assert table.own == [False, True, False]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (-0.0, "0"),
        (-1.5, "\N{MINUS SIGN}1.5"),
        (225601, "225,601"),
        (None, ""),
        (0.123456, "0.1235"),
    ],
)
def test_numbers_have_a_minus_sign_and_no_negative_zero(value: float | None, text: str) -> None:
    assert number(value) == text


def test_a_value_that_misses_its_limit_stands_out() -> None:
    table = TextTable.of(
        {"columns": ["limit", "a"], "rows": [["noise", "7.67 !"], ["bias", "0.2"]]}
    )
    assert table.rows[0][1].style == "number failed"
    assert table.rows[1][1].style == "number"


def test_only_the_minus_of_numbers_is_changed_in_texts() -> None:
    table = TextTable.of({"columns": ["a", "b"], "rows": [["L143-B30f", "-0.002 to +0.003"]]})
    assert _texts(table) == [["L143-B30f", "\N{MINUS SIGN}0.002 to +0.003"]]


def test_a_short_row_is_filled() -> None:
    assert _texts(TextTable.of({"columns": ["a", "b"], "rows": [["x"]]})) == [["x", ""]]

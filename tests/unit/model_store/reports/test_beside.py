from __future__ import annotations

from typing import Any

from model_store.reports.beside import beside

_HEADLINE: dict[str, Any] = {
    "10 HU": {"metric": "PSNR 400 HU", "input": 33.0, "model": 36.0},
    "25 HU": {"metric": "PSNR 400 HU", "input": 25.0, "model": 32.0},
}


def _table(title: str, *rows: list[Any]) -> dict[str, Any]:
    return {"title": title, "note": "", "columns": ["method", "A", "B"], "rows": list(rows)}


_TABLES = [
    _table("PSNR 4096 HU", ["input", 51.0, 43.0], ["model", 54.0, 49.0]),
    _table("PSNR 400 HU", ["input", 33.0, 25.0], ["bm3d", 1, 2], ["model", 36.0, 32.0]),
    _table("SSIM 400 HU", ["input", 0.9, 0.7], ["model", 0.91, 0.8]),
    _table("PDR 400 HU (lower is better)", ["input", 0.1, 0.3], ["model", 0.2, 0.1]),
    _table("Validity: PSNR 400 HU out against in", ["input", 1.0, 2.0], ["model", 3.0, 4.0]),
]


def test_every_metric_of_the_publications_is_shown_a_condition_a_row() -> None:
    found = beside(_HEADLINE, _TABLES)
    assert found["columns"] == [
        "",
        *("PSNR 400 HU, input", "model", "SSIM 400 HU, input", "model"),
        *("PDR 400 HU, input", "model"),
    ]
    assert found["rows"] == [
        ["10 HU", 33.0, 36.0, 0.9, 0.91, 0.1, 0.2],
        ["25 HU", 25.0, 32.0, 0.7, 0.8, 0.3, 0.1],
    ]
    assert "lower is better" in found["note"]


def test_without_perceptual_distance_nothing_is_said_of_it() -> None:
    found = beside(_HEADLINE, _TABLES[:3])
    assert [len(row) for row in found["rows"]] == [5, 5]
    assert found["note"] == ""


def test_tables_of_another_shape_leave_the_headline() -> None:
    old = {"title": "PSNR", "columns": ["method", "PSNR"], "rows": [["input", 1.0]]}
    found = beside(_HEADLINE, [old])
    assert found["columns"] == ["", "PSNR 400 HU, input", "model"]
    assert found["rows"] == [["10 HU", 33.0, 36.0], ["25 HU", 25.0, 32.0]]


def test_nothing_measured_has_no_rows() -> None:
    assert beside({}, [])["rows"] == []

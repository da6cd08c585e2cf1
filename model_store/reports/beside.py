"""Our figures in the shape of a publication's table: PSNR, SSIM and PDR of every condition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Table = Mapping[str, Any]

_KINDS = ("PSNR", "SSIM", "PDR")
_INPUT, _MODEL = "input", "model"


def beside(headline: Mapping[str, Mapping[str, Any]], tables: Sequence[Table]) -> dict[str, Any]:
    """Input and model under every condition of an evaluation.

    Parameters
    ----------
    headline : mapping
        Group to its scores, in the order of the evaluation's columns.
    tables : sequence of mapping
        Tables of the evaluation, one a metric: methods down and groups across. Without them the
        headline's PSNR alone is shown.

    Returns
    -------
    dict
        ``title`` (empty), ``note``, ``columns`` and ``rows``, one a group.
    """
    names: list[str] = []
    rows: list[list[Any]] = [[group] for group in headline]
    for kind in _KINDS:
        title, values = _of(kind, headline, tables)
        if not values:
            continue
        names += [f"{title}, {_INPUT}", _MODEL]
        for row, pair in zip(rows, values, strict=True):
            row.extend(pair)
    note = (
        "PDR is a perceptual distance: lower is better."
        if any(name.startswith("PDR") for name in names)
        else ""
    )
    return {"title": "", "note": note, "columns": ["", *names], "rows": rows}


def _of(
    kind: str, headline: Mapping[str, Mapping[str, Any]], tables: Sequence[Table]
) -> tuple[str, list[tuple[Any, Any]]]:
    """Name of a metric and its values, input and model, a pair a group; none if not measured."""
    metrics = {str(item.get("metric")) for item in headline.values()}
    for table in tables:
        title = str(table.get("title") or "").partition(" (")[0]
        across = list(zip(*(row[1:] for row in _rows(table)), strict=True))
        known = title.startswith(kind) and (kind != _KINDS[0] or metrics == {title})
        if known and len(across) == len(headline):
            return title, across
    if kind == _KINDS[0]:
        pairs = [(item.get(_INPUT), item.get(_MODEL)) for item in headline.values()]
        return metrics.pop() if len(metrics) == 1 else kind, pairs
    return kind, []


def _rows(table: Table) -> list[Sequence[Any]]:
    """The rows of input and model; none if one is missing."""
    rows = {row[0]: row for row in table.get("rows") or () if row}
    return [rows[_INPUT], rows[_MODEL]] if {_INPUT, _MODEL} <= set(rows) else []

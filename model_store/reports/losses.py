"""The losses of a training run, from its log or from what its console printed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from model_store.errors import DataError
from model_store.training.log import LOG

_PRINTED = re.compile(r"^\s*(\d+)/\d+ loss ([-+.\deE]+)", re.MULTILINE)
_LOSS, _VALIDATION = "loss", "validation"

Points = list[tuple[float, float]]


def read_losses(path: Path) -> dict[str, Points]:
    """Name to iterations and losses: ``loss``, and that of validation.

    Parameters
    ----------
    path : Path
        A run's folder, its ``log.jsonl``, or a file of its console output. Where a resumed run
        has an iteration twice the later line holds.

    Raises
    ------
    DataError
        If it cannot be read or has no loss.
    """
    file = path / LOG if path.is_dir() else path
    text = _text_of(file)
    found: list[tuple[int, str, float]] = []
    for step, item in _lines(text):
        told = item.get(_VALIDATION)
        named = {_VALIDATION: told.get(_LOSS)} if isinstance(told, dict) else item
        found += [
            (step, name, float(value))
            for name, value in named.items()
            if isinstance(value, int | float) and (name == _LOSS or _VALIDATION in name)
        ]
    found += _printed(text)
    if not found:
        raise DataError(f"{file}: no line has an iteration and its loss; is it a training log?")
    return _by_name(found)


def read_validation(run: Path) -> dict[str, Points]:
    """What a run measured on patches that it did not draw: name to iterations and values.

    Empty for a run of a release that did not measure.

    Raises
    ------
    DataError
        If its log cannot be read.
    """
    return _by_name(
        (step, name, float(value))
        for step, item in _lines(_text_of(run / LOG))
        if isinstance(told := item.get(_VALIDATION), dict)
        for name, value in told.items()
    )


def _text_of(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise DataError(f"{file}: training log cannot be read: {error.strerror}") from error


def _by_name(found: Iterable[tuple[int, str, float]]) -> dict[str, Points]:
    """By name and growing iteration; the later value of one holds."""
    named: dict[str, dict[int, float]] = {}
    for step, name, value in found:
        named.setdefault(name, {})[step] = value
    return {
        name: [(float(step), values[step]) for step in sorted(values)]
        for name, values in named.items()
    }


def _lines(text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Lines of the log with their iterations; those not written to their end are left out."""
    for line in text.splitlines():
        if not line.startswith("{"):
            continue
        try:
            item = json.loads(line)
            yield int(item["step"]), item
        except (ValueError, KeyError, TypeError):
            continue


def _printed(text: str) -> list[tuple[int, str, float]]:
    return [(int(step), _LOSS, float(loss)) for step, loss in _PRINTED.findall(text)]

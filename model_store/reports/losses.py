"""The losses of a training run, from its log or from what its console printed."""

from __future__ import annotations

import json
import re
from pathlib import Path

from model_store.errors import DataError

_PRINTED = re.compile(r"^\s*(\d+)/\d+ loss ([-+.\deE]+)", re.MULTILINE)
LOG = "log.jsonl"
"""Name of the log in a run's folder."""
_LOSS, _VALIDATION = "loss", "validation"

Points = list[tuple[float, float]]


def read_losses(path: Path) -> dict[str, Points]:
    """Name to iterations and losses: ``loss``, and what the log calls validation.

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
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise DataError(f"{file}: training log cannot be read: {error.strerror}") from error
    found: dict[str, dict[int, float]] = {}
    for step, name, value in (*_logged(text), *_printed(text)):
        found.setdefault(name, {})[step] = value
    if not found:
        raise DataError(f"{file}: no line has an iteration and its loss; is it a training log?")
    return {
        name: [(float(step), values[step]) for step in sorted(values)]
        for name, values in found.items()
    }


def _logged(text: str) -> list[tuple[int, str, float]]:
    found = []
    for line in text.splitlines():
        if not line.startswith("{"):
            continue
        try:
            item = json.loads(line)
            step = int(item["step"])
        except (ValueError, KeyError, TypeError):
            continue  # a line that was not written to its end
        found += [
            (step, name, float(value))
            for name, value in item.items()
            if isinstance(value, int | float) and (name == _LOSS or _VALIDATION in name)
        ]
    return found


def _printed(text: str) -> list[tuple[int, str, float]]:
    return [(int(step), _LOSS, float(loss)) for step, loss in _PRINTED.findall(text)]

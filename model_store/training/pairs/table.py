"""Partners by a table: a CSV file with a line for each pair."""

from __future__ import annotations

import csv
from pathlib import Path

from model_store.errors import DataError
from model_store.training.pairs.listing import (
    SIDES,
    Listing,
    Pair,
    Side,
    Told,
    pair_name,
    same_file,
)
from model_store.training.pairs.patients import hashed, patient_of
from model_store.training.pairs.section import PairsData

_NEEDED = ("noisy", "partner")
_KNOWN = (*_NEEDED, "patient", "split", "slice")


def by_table(section: PairsData, folder: Path, told: Told) -> Listing:
    """Read the table of a section.

    Raises
    ------
    DataError
        If it cannot be read, lacks a column, or a line is not of a pair; names the line.
    """
    path = folder / (section.table or "")
    rows = _rows(path, section)
    pairs: list[Pair] = []
    sides: dict[str, tuple[int, Side | None]] = {}
    for index, (line, row) in enumerate(rows):
        pair = _pair(section, path, line, row)
        before, side = sides.setdefault(pair.patient, (line, pair.side))
        if side != pair.side:
            raise DataError(
                f"{path}, line {line}: split is {pair.side or 'empty'}, but {side or 'empty'} for "
                f"the same patient in line {before}; give a patient one side"
            )
        pairs.append(pair)
        told("matching", index + 1, len(rows))
    if len({side is None for _, side in sides.values()}) > 1:
        raise DataError(f"{path}: column split is empty in some lines; fill all of them, or none")
    return Listing(tuple(pairs))


def _rows(path: Path, section: PairsData) -> list[tuple[int, dict[str, str]]]:
    """Lines by column, each with its number."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        lines = csv.reader(text.splitlines(), strict=True, skipinitialspace=True)
        columns = [name.strip() for name in next(lines, [])]
        rows = [(lines.line_num, values) for values in lines if any(map(str.strip, values))]
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: not a CSV file in UTF-8: {error}") from error
    needed = (*_NEEDED, *(["patient"] if section.patient == "column" else []))
    absent = [name for name in needed if name not in columns]
    if absent:
        raise DataError(
            f"{path}: has no column {', '.join(absent)}; its first line has to name the columns, "
            f"separated by commas: {', '.join(needed)} (and split or slice, if wanted)"
        )
    strange = [name for name in columns if name not in _KNOWN]
    if strange or len(set(columns)) < len(columns):
        raise DataError(
            f"{path}: columns are {', '.join(_KNOWN)}, each once; not "
            f"{', '.join(strange) or 'one twice'}"
        )
    if not rows:
        raise DataError(f"{path}: has no line after the one that names the columns, so no pair")
    for line, values in rows:
        if len(values) != len(columns):
            raise DataError(
                f"{path}, line {line}: has {len(values)} values for {len(columns)} columns"
            )
    return [
        (line, dict(zip(columns, map(str.strip, values), strict=True))) for line, values in rows
    ]


def _pair(section: PairsData, table: Path, line: int, row: dict[str, str]) -> Pair:
    place = f"{table}, line {line}"
    for key in _NEEDED:
        if not row[key]:
            raise DataError(f"{place}: {key} is empty; name both files of the pair")
        if not (table.parent / row[key]).is_file():
            raise DataError(f"{place}: {row[key]} is not there; paths are relative to the table")
    noisy, partner = (table.parent / row[key] for key in _NEEDED)
    if same_file(noisy, partner):
        raise DataError(f"{place}: {row['noisy']}: the same file on both sides of a pair")
    side = next((known for known in SIDES if known == row.get("split")), None)
    if row.get("split") and side is None:
        raise DataError(f"{place}: split is none of {', '.join(SIDES)}")
    index = row.get("slice") or None
    if index is not None and not index.isdecimal():
        raise DataError(f"{place}: slice is not a number, counted from 0")
    if section.patient == "column":
        if not row["patient"]:
            raise DataError(f"{place}: patient is empty; name whose images the pair shows")
        patient = hashed(row["patient"])
    else:
        patient = patient_of(section, noisy, table.parent)
        if section.patient == "dicom" and patient != patient_of(section, partner, table.parent):
            raise DataError(f"{place}: the two files have different Patient IDs")
    number = None if index is None else int(index)
    name = pair_name(table.parent, noisy, partner, number)
    return Pair(noisy, partner, patient, name, number, side)

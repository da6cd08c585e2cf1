"""Checked pairs on disk: read once, mapped into memory by every run that uses them."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from model_store.errors import DataError
from model_store.training.pairs.checking import Tally, check_pairs
from model_store.training.pairs.facts import Facts
from model_store.training.pairs.finding import find_pairs
from model_store.training.pairs.listing import Listing, Pair, Told, nobody
from model_store.training.pairs.section import PairsData
from model_store.training.pairs.split import require
from model_store.training.patches import Floats
from model_store.training.readers.values import Units

_FORMAT = 1  # counts changes of what is checked and kept, so that no cache outlives one
_VALUE = np.dtype("<f4")


@dataclass(frozen=True, slots=True, eq=False)
class StoredPair:
    """A pair as a run draws from it: two images, their noise, and whether it is for validation."""

    noisy: Floats
    partner: Floats
    noise_sd: float
    validation: bool


@dataclass(frozen=True, slots=True)
class _Entry:
    rows: int
    columns: int
    noise_sd: float
    side: str


def prepare_pairs(
    section: PairsData, units: Units, folder: Path, cache: Path, told: Told = nobody
) -> tuple[list[StoredPair], Facts]:
    """Find, check and keep the pairs for training and validation, or take them from the cache.

    Parameters
    ----------
    section : PairsData
        What to read.
    units : {"HU", "stored"}
        Of the values.
    folder : Path
        Folder that the section's paths are below.
    cache : Path
        Folder for what was read: two files, keyed by everything they depend on. They hold pixels
        and no header; names in them are paths.
    told : callable
        Is told how far this is.

    Raises
    ------
    DataError
        If files are missing or unreadable, do not fit together, or too many are refused.
    """
    listing = find_pairs(section, folder, told)
    require(section, listing.pairs, "training")
    wanted = [pair for pair in listing.pairs if pair.side != "test"]
    stem = _key(section, units, listing, folder)
    index, values = cache / f"{stem}-pairs.json", cache / f"{stem}-pairs.f32"
    if not index.exists():
        cache.mkdir(parents=True, exist_ok=True)
        entries, facts = _write(section, units, (listing, wanted), values, told)
        text = json.dumps({"facts": asdict(facts), "pairs": [asdict(one) for one in entries]})
        half = _partial(index)
        half.write_text(text, encoding="utf-8")
        half.replace(index)
    return _open(index, values)


def _write(
    section: PairsData,
    units: Units,
    found: tuple[Listing, Sequence[Pair]],
    path: Path,
    told: Told,
) -> tuple[list[_Entry], Facts]:
    listing, wanted = found
    entries: list[_Entry] = []
    tally = Tally()
    half = _partial(path)
    try:
        with half.open("wb") as file:
            for pair in check_pairs(section, units, wanted, tally, told):
                for image in (pair.noisy, pair.partner):
                    file.write(np.ascontiguousarray(image, _VALUE).tobytes())
                rows, columns = pair.noisy.shape
                entries.append(_Entry(rows, columns, pair.noise_sd, str(pair.pair.side)))
        tally.require(section)
        if not any(entry.side == "training" for entry in entries):
            raise DataError("no pair for training was kept; see what was refused, or split anew")
        half.replace(path)
    finally:
        half.unlink(missing_ok=True)
    kept = [(entry.side, entry.noise_sd) for entry in entries]
    return entries, Facts.of(section, listing, tally, kept)


def _open(index: Path, values: Path) -> tuple[list[StoredPair], Facts]:
    """Map the values of a cache into memory."""
    try:
        content = json.loads(index.read_text(encoding="utf-8"))
        low, high = content["facts"].pop("noise_sd")
        facts = Facts(**content["facts"], noise_sd=(low, high))
        entries = [_Entry(**entry) for entry in content["pairs"]]
        total = sum(2 * entry.rows * entry.columns for entry in entries)
        mapped = np.memmap(values, _VALUE, "r", shape=(total,))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{values}: not readable ({error}); delete {index.name} beside it to read the pairs "
            "anew"
        ) from error
    result, at = [], 0
    for entry in entries:
        size = entry.rows * entry.columns
        both = mapped[at : at + 2 * size].reshape(2, entry.rows, entry.columns)
        result.append(StoredPair(both[0], both[1], entry.noise_sd, entry.side == "validation"))
        at += 2 * size
    return result, facts


def _key(section: PairsData, units: Units, listing: Listing, folder: Path) -> str:
    """Hash of everything that a cache depends on, the files' sizes and times among it."""
    files = [
        [pair.name, pair.slice, pair.side, *(_state(path) for path in (pair.noisy, pair.partner))]
        for pair in listing.pairs
        if pair.side != "test"
    ]
    what = [_FORMAT, section.model_dump(mode="json"), units, files, str(folder.resolve())]
    return hashlib.sha256(json.dumps(what).encode()).hexdigest()[:16]


def _state(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    return found.st_size, found.st_mtime_ns


def _partial(path: Path) -> Path:
    return path.with_name(f"{path.name}.{os.getpid()}.partial")

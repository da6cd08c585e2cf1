"""All pairs of a section, each with the side of its patient."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from model_store.training.pairs.geometry import by_geometry
from model_store.training.pairs.listing import Listing, Told, nobody
from model_store.training.pairs.names import by_name
from model_store.training.pairs.section import PairsData
from model_store.training.pairs.split import split
from model_store.training.pairs.table import by_table


def find_pairs(section: PairsData, folder: Path, told: Told = nobody) -> Listing:
    """Find the pairs of a section below `folder`.

    Raises
    ------
    DataError
        If a side, a file or a column is missing, or nothing has a partner.
    """
    if section.table is not None:
        found = by_table(section, folder, told)
    elif section.match == "geometry":
        found = by_geometry(section, folder, told)
    else:
        found = by_name(section, folder, told)
    return replace(found, pairs=split(section, found.pairs))

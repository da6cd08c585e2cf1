"""Which patients are for training, which for validation, which for the test."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import replace

from model_store.errors import DataError
from model_store.training.pairs.listing import SIDES, Pair, Side
from model_store.training.pairs.section import PairsData

_BYTES = 8


def sides(
    patients: Collection[str], validation: float, test: float, seed: int = 0
) -> dict[str, Side]:
    """Side of every patient.

    Each patient has a place in 0..1 by a hash. Those below `test` are for the test, those below
    ``test + validation`` for validation; a side that would be empty takes the next patient in that
    order. So no patient that was trained on comes into the test when others join.

    Parameters
    ----------
    patients : collection of str
        Who there is.
    validation, test : float
        Shares.
    seed : int
        Of the hash.
    """
    place = {patient: _place(patient, seed) for patient in patients}
    left = sorted(patients, key=place.__getitem__)
    result: dict[str, Side] = {}
    for side, share, end in (
        ("test", test, test),
        ("validation", validation, test + validation),
    ):
        chosen = [patient for patient in left if place[patient] < end]
        if share <= 0:
            continue
        for patient in chosen or left[:1]:
            result[patient] = "test" if side == "test" else "validation"
        left = [patient for patient in left if patient not in result]
    return result | {patient: "training" for patient in left}


def split(section: PairsData, pairs: Sequence[Pair]) -> tuple[Pair, ...]:
    """Give every pair the side of its patient: that of the table, or by `sides`."""
    if all(pair.side is not None for pair in pairs):
        return tuple(pairs)
    found = sides(
        {pair.patient for pair in pairs}, section.validation, section.test, section.split_seed
    )
    return tuple(replace(pair, side=found[pair.patient]) for pair in pairs)


def require(section: PairsData, pairs: Sequence[Pair], side: Side) -> None:
    """Make sure that there is something on a side.

    Raises
    ------
    DataError
        If there is nothing; says what to do.
    """
    if any(pair.side == side for pair in pairs):
        return
    patients = len({pair.patient for pair in pairs})
    counts = ", ".join(
        f"{name} {len({pair.patient for pair in pairs if pair.side == name})}" for name in SIDES
    )
    remedy = "state another data.split_seed, other shares (data.validation, data.test)"
    if section.table is not None:
        remedy += ", or the column split"
    if patients == 1 and section.patient == "dicom":
        remedy += ", or in data.patient what tells patients apart, if all have one Patient ID"
    raise DataError(f"of {patients} patients none is for {side} ({counts}): {remedy}")


def _place(patient: str, seed: int) -> float:
    digest = hashlib.sha256(f"{seed} {patient}".encode()).digest()
    return int.from_bytes(digest[:_BYTES], "big") / float(1 << (8 * _BYTES))

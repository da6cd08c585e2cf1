"""HDF5: images, or stacks of them, in one of a file's data sets (LoDoPaB-CT and alike)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from model_store.errors import DataError
from model_store.training.readers.damage import damaged
from model_store.training.readers.optional import needed_for
from model_store.training.readers.slices import Slices

_FLAT, _STACK = 2, 3


def read_hdf5(path: Path, name: str | None, index: int | None = None) -> Slices:
    """Read a data set of two or three dimensions, the first of three counting the slices.

    Parameters
    ----------
    path : Path
        The file.
    name : str, optional
        The data set; without it the file must have only one.
    index : int, optional
        Only this slice.

    Raises
    ------
    DataError
        If the file is damaged, or has no such data set or slice; names what it has.
    """
    with needed_for("HDF5", "h5py"):
        import h5py  # noqa: PLC0415
    try:
        with h5py.File(path, "r") as file:
            found = _images(h5py, file)
            chosen = name or (next(iter(found)) if len(found) == 1 else None)
            if chosen not in found:
                raise DataError(
                    f"{path}: which images? State data.dataset, one of: {', '.join(found) or '-'}"
                )
            dataset = found[chosen]
            flat = dataset.ndim == _FLAT
            if index is not None and not 0 <= index < (1 if flat else len(dataset)):
                raise DataError(f"{path}: has no slice {index}, counted from 0")
            values = dataset[()] if flat or index is None else dataset[index]
    except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
        raise damaged(path, "truncated or damaged HDF5 file", error) from error
    full = float(np.iinfo(values.dtype).max) if values.dtype.kind == "u" else None
    stacked = values if values.ndim == _STACK else values[None]
    return Slices(stacked.astype(np.float32), full)


def _images(h5py: Any, file: Any) -> dict[str, Any]:
    """The data sets of a file that hold numbers in two or three dimensions."""
    found: dict[str, Any] = {}

    def look(name: str, item: Any) -> None:
        numbers = isinstance(item, h5py.Dataset) and item.dtype.kind in "uif"
        if numbers and item.ndim in {_FLAT, _STACK}:
            found[name] = item

    file.visititems(look)
    return found

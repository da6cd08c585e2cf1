"""What a reader gives: the slices of one file as they are stored."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Slices:
    """Slices of one file.

    Parameters
    ----------
    values : ndarray of shape (slices, rows, columns), float32
        As stored, after what the file itself says of their scale.
    full_range : float, optional
        The highest value that can be stored, of unsigned integers; None for other numbers.
    pixel_mm : pair of float, optional
        Distance of rows and of columns, where the file says it.
    place : ndarray, optional
        What says where the slices lie in the patient; partners have the same.
    final : bool
        Whether the values are HU, or fractions of the range, already.
    """

    values: NDArray[np.float32]
    full_range: float | None = None
    pixel_mm: tuple[float, float] | None = None
    place: NDArray[np.float64] | None = None
    final: bool = False

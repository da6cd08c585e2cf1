"""One grey-scale frame in physical units: what `load` hands to `infer`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One frame and which of its pixels may change.

    Parameters
    ----------
    values : ndarray of float32, shape (H, W)
        HU for CT; for radiographs linear stored values in MONOCHROME2 sense, that is larger is
        brighter, 0 to `full_scale`.
    full_scale : float
        ``2**BitsStored - 1`` for radiographs; ignored for HU.
    valid : ndarray of bool, shape (H, W)
        True where the value may change; False for padding, which comes through bit for bit.

    Raises
    ------
    ValueError
        If shapes or dtypes differ from the above, or `full_scale` is not positive.
    """

    values: NDArray[np.float32]
    full_scale: float
    valid: NDArray[np.bool_]

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or 0 in self.values.shape:  # noqa: PLR2004 -- rows and columns
            raise ValueError(f"a frame is H x W with at least one pixel, not {self.values.shape}")
        if self.values.dtype != np.float32:
            raise ValueError(f"frame values are float32, not {self.values.dtype}")
        if self.valid.shape != self.values.shape or self.valid.dtype != np.bool_:
            raise ValueError("the valid mask is bool and of the frame's shape")
        if not self.full_scale > 0:
            raise ValueError(f"full_scale must be positive, not {self.full_scale}")

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        rows, columns = self.values.shape
        return rows, columns

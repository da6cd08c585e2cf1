"""A window: which values are shown between black and white."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Window:
    """A grey-scale window in the unit of the values.

    Parameters
    ----------
    name : str
        What a reader calls it.
    centre, width : float
        As in Window Center and Window Width.
    """

    name: str
    centre: float
    width: float

    def __str__(self) -> str:
        return f"{self.name} (C {self.centre:g}, W {self.width:g})"

    def linear(self, values: Floats) -> NDArray[np.uint8]:
        """Map to 8 bits by the linear VOI function (PS3.3 C.11.2.1.2.1), clipped."""
        return _eight_bits(values - (self.centre - 0.5), max(self.width - 1, 1.0))

    def linear_exact(self, values: Floats) -> NDArray[np.uint8]:
        """Map to 8 bits by the exactly linear VOI function (PS3.3 C.11.2.1.3.2), clipped.

        Black is ``centre - width / 2``, white ``centre + width / 2``.
        """
        return _eight_bits(values - self.centre, self.width)


def _eight_bits(values: Floats, width: float) -> NDArray[np.uint8]:
    level = (values / width + 0.5) * 255
    eight: NDArray[np.uint8] = np.clip(np.rint(level), 0, 255).astype(np.uint8)
    return eight

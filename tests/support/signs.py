"""Signs of life that are counted, told to nobody."""

from __future__ import annotations

import pytest

from dicom_node import signs
from dicom_node.signs import ROUND, Signs


class CountedSigns(Signs):
    """Keeps what each sign promised, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.within: list[float] = []

    def give(self, within: float = ROUND) -> None:
        """Keep it."""
        self.within.append(within)


def counted(patch: pytest.MonkeyPatch) -> CountedSigns:
    """The signs of this process from now on."""
    found = CountedSigns()
    patch.setattr(signs, "own", lambda: found)
    return found

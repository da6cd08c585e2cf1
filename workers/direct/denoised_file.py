"""What came of denoising one file: the new file, and how it was made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from dicom_node.noise import SOFT_TISSUE, Noise, exposed, measure
from dicom_node.routing.eligibility import Units
from model_store.ref import ModelRef
from workers.load import Source, frame_of

Kind = Literal["DICOM", "PNG", "JPEG", "TIFF"]
"""What a file is, by its first bytes."""

Image = NDArray[np.float32]

_WINDOWS: Final = 32
"""Windows one below the other in which noise is measured together."""


@dataclass(frozen=True, slots=True)
class Provenance:
    """How something was denoised.

    Parameters
    ----------
    model : ModelRef
        The model version.
    strength : float
        0: nothing was changed; 1: the network's own result.
    engine : mapping of str to str
        Everything that the engine says of itself, and the version of this package.
    units : {"HU", "stored"}
        What the pixels are.
    noise : Noise
        Standard deviation in flat places before and after, in HU or grey levels (of an array from
        0 to 1, in parts of the range); NaN where there was no such place. Of the middle frame.
    """

    model: ModelRef
    strength: float
    engine: Mapping[str, str]
    units: Units
    noise: Noise

    @property
    def settings(self) -> str:
        """Strength and engine in words, as results say it."""
        engine = self.engine
        kind = f"{engine['engine']} {engine['precision']} on {engine['device']}"
        return f"strength {self.strength:g}, engine {kind}"

    @property
    def words(self) -> str:
        """Model, strength and engine in a few words."""
        engine = " ".join(self.engine[each] for each in ("engine", "precision"))
        return f"{self.model} at strength {self.strength:g} ({engine})"


@dataclass(frozen=True, slots=True, eq=False)
class DenoisedFile:
    """A file that was denoised.

    Parameters
    ----------
    data : bytes
        The result, a file of the same kind.
    kind : {"DICOM", "PNG", "JPEG", "TIFF"}
    how : Provenance
    source : Source
        The image that was denoised.
    before, after : ndarray of float32, shape (H, W)
        Its middle frame in physical units: HU, or grey levels from 0 up, larger is brighter.
    sop_instance_uid, series_uid : str
        Of a DICOM result; empty for others.
    """

    data: bytes
    kind: Kind
    how: Provenance
    source: Source
    before: Image
    after: Image
    sop_instance_uid: str = ""
    series_uid: str = ""


def middle(source: Source, pixels: Sequence[Image]) -> tuple[Image, Image]:
    """The middle frame before and after, as it is stored."""
    at = source.frame_count // 2
    cells = source.inverse(pixels[at], at)
    rescale = source.rescales[at] if source.rescales else None
    after = frame_of(cells, source.layout, rescale, source.padding)
    return source.frames[at].values, after.values


def noise_of(before: Image, after: Image, units: Units, full_scale: float) -> Noise:
    """Noise of one frame before and after, band by band, in memory that does not grow with it."""
    region = SOFT_TISSUE if units == "HU" else exposed(full_scale)
    height = _WINDOWS * region.window
    bands = (
        (before[top : top + height], after[top : top + height])
        for top in range(0, len(before), height)
    )
    return measure(bands, region)

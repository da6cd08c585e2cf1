"""Before, after and difference of one file side by side: the whole image, and a part enlarged."""

from __future__ import annotations

from typing import Final

from dicom_node import pictures
from dicom_node.pictures import Box
from dicom_node.sheet import SIDE, SheetRow, draw
from model_store.window import Window
from workers.direct.denoised_file import DenoisedFile, Provenance
from workers.direct.grey_image import MARK
from workers.results import software_version

_PART: Final = SIDE // 2
"""Side of the part, pixels of the image; it is shown twice as large."""

_MOSTLY: Final = 0.1
"""How much of a part has to be soft tissue for its window to show something."""


_TINY: Final = 32
"""Less than this has no part that could be chosen."""


def picture_of(made: DenoisedFile) -> bytes:
    """Draw what was made of a file as a PNG; of several frames the middle one.

    CT is shown in the soft-tissue window if there is soft tissue, everything else from the 1st to
    the 99.5th percentile. The part is where there is most of it to see. Nothing that names a
    patient is in the picture.
    """
    unit = "HU" if made.how.units == "HU" else "grey levels"
    window, box = _chosen(made)
    images = (made.before, made.after), (box.of(made.before), box.of(made.after))
    scale = pictures.common_scale(images, SIDE)
    whole, part = (
        pictures.view("", before, after, window, unit, side=SIDE, scale=scale)
        for before, after in images
    )
    times = max(made.before.shape) / SIDE
    shrunk = f", shrunk {times:.1f} times" if times > 1 else ""
    rows = (
        SheetRow(whole, "before", f"whole image{shrunk}", ""),
        SheetRow(
            part, "a part of it", *(_noise(made.how, value, unit) for value in _values(made.how))
        ),
    )
    words = made.how.words
    said = (
        f"Before and after, {words}{MARK}{software_version()}"  # a folder may be gone through again
    )
    differing = f"difference from {-scale:g} (black) to +{scale:g} {unit} (white)"
    return draw(rows, f"{words}; {window}; {differing}", said)


def _chosen(made: DenoisedFile) -> tuple[Window, Box]:
    side = min(_PART, *made.before.shape)
    if made.how.units == "HU":
        box, part = pictures.soft_tissue_box(made.before, side)
        if part >= _MOSTLY:
            return pictures.SOFT_TISSUE, box
    window = pictures.percentile_window(made.before, made.source.frames[0].full_scale)
    if min(made.before.shape) < _TINY:
        return window, Box(0, 0, *made.before.shape)
    return window, pictures.detailed_box(made.before, window, side)


def _values(how: Provenance) -> tuple[float, float]:
    return how.noise.before, how.noise.after


def _noise(how: Provenance, value: float, unit: str) -> str:
    return f"noise {value:.3g} {unit}" if how.noise.windows else ""

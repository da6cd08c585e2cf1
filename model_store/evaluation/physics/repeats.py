"""Images of phantoms from files: repeated acquisitions and rods of known place.

Below ``ct_physics`` of the data folder: 50 repeats of uniform water and the CTP404 module with a
sharp and a smooth kernel (FDA, public domain), the MITA low-contrast phantom at three doses (FDA
DIDSR, CC0), and slices of a head phantom on a clinical scanner.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model_store.errors import DataError
from model_store.evaluation.physics.phantom import LOW_CONTRAST, Rod
from model_store.training.references import read_ct_slice

Floats = NDArray[np.float32]

FOLDER = "ct_physics"
CTP404_PIXEL_MM = 340 / 512
LOW_CONTRAST_PIXEL_MM = 165 / 256
DOSES = ("010", "055", "100")
UNIFORM = (slice(64, 192), slice(64, 192))
"""Central part of the uniform repeats, four regions of 64 x 64 pixels."""

_SIZE = 256
_MIDDLE = 127.5
_CTP404_HU = (15.0, -35.0, -100.0, -200.0, -1000.0, 990.0, 340.0, 120.0)
_SCANNER = (
    ("Philips head phantom, 1 mm, bone kernel", ("002.dcm", "004.dcm")),
    ("Philips head phantom, 1 mm, iterative", ("055.dcm",)),
)


@dataclass(frozen=True, slots=True)
class LowContrastRepeats:
    """Repeats of the MITA low-contrast phantom at one dose.

    Parameters
    ----------
    absent, present : ndarray of shape (repeats, 256, 256), float32
        Without and with the four rods, in HU.
    """

    absent: Floats
    present: Floats


def uniform_repeats(data: Path, count: int = 50) -> Floats:
    """Repeats of uniform water, ``[count, 256, 256]`` in HU, pixels of `CTP404_PIXEL_MM`.

    Raises
    ------
    DataError
        If a file is missing or has another size; so for all functions here.
    """
    folder = data / FOLDER / "ct_phantom_ctrecon" / "uniform_water_phan" / "fbp_sharp"
    paths = (folder / f"uniform_fbp_sharp_{index}.raw" for index in range(1, count + 1))
    return np.stack([_raw(path) for path in paths])


def ctp404(data: Path, kernel: str) -> Floats:
    """The CTP404 module without noise in HU, shape (256, 256); `kernel` is sharp or smooth."""
    folder = data / FOLDER / "ct_phantom_ctrecon" / "ctp404"
    return _raw(folder / f"ctp404_fbp_{kernel}_256.raw")


def ctp404_rods() -> tuple[tuple[Rod, tuple[float, float]], ...]:
    """The eight rods of the CTP404 module, clockwise from the top, with row and column."""
    found = []
    for index, contrast in enumerate(_CTP404_HU):
        angle = index * np.pi / 4
        down, right = -57.0 * float(np.cos(angle)), 57.0 * float(np.sin(angle))
        place = (_MIDDLE + down / CTP404_PIXEL_MM, _MIDDLE + right / CTP404_PIXEL_MM)
        found.append((Rod(down, right, 12.0, contrast), place))
    return tuple(found)


def low_contrast_repeats(data: Path, dose: str) -> LowContrastRepeats:
    """Ten repeats each, absent and present, at a dose of `DOSES` (per cent)."""
    folder = data / FOLDER / "ct_lcd_repeats_DIDSR" / "fbp" / f"dose_{dose}"

    def read(state: str) -> Floats:
        paths = (folder / state / f"{state}_{index:03}.raw" for index in range(1, 11))
        return np.stack([_raw(path) - np.float32(1000) for path in paths])

    return LowContrastRepeats(read("signal_absent"), read("signal_present"))


def low_contrast_rods() -> tuple[tuple[Rod, tuple[float, float]], ...]:
    """The four rods of `low_contrast_repeats` with row and column."""
    found = []
    for (diameter, contrast), (down, right) in zip(
        LOW_CONTRAST, ((-1, 1), (-1, -1), (1, -1), (1, 1)), strict=True
    ):
        offset = 30.0 / np.sqrt(2)
        rod = Rod(down * offset, right * offset, diameter, contrast)
        row = _MIDDLE + rod.down_mm / LOW_CONTRAST_PIXEL_MM
        column = _MIDDLE + rod.right_mm / LOW_CONTRAST_PIXEL_MM
        found.append((rod, (row, column)))
    return tuple(found)


def scanner_slices(data: Path) -> list[tuple[str, float, Floats]]:
    """Slices of a head phantom from a scanner: name, pixel spacing in mm, images in HU.

    Each image is the 256 x 256 pixels around a uniform region, which is its central 64 x 64.
    """
    folder = data / FOLDER / "philips_ingenuity_phantom"
    found = []
    for name, files in _SCANNER:
        slices = [read_ct_slice(folder / file) for file in files]
        images = np.stack([item.hounsfield[54:310, 118:374] for item in slices])
        found.append((name, slices[0].pixel_mm, images))
    return found


def _raw(path: Path) -> Floats:
    try:
        values = np.fromfile(path, "<i2")
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read; --data names the folder above {FOLDER}"
        ) from error
    if values.size != _SIZE * _SIZE:
        raise DataError(f"{path}: {values.size} values where {_SIZE} x {_SIZE} were expected")
    return values.reshape(_SIZE, _SIZE).astype(np.float32)

"""Scenes, and files of any kind that show them, for tests of training on pairs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.support.factories.dicom import ct_slice, write

Floats = NDArray[np.float32]

UIDS = "1.2.826.0.1.3680043.10.1"
SIDE = 64


def scene(seed: int = 0, size: int = SIDE, shift: tuple[int, int] = (0, 0)) -> Floats:
    """``[size, size]`` HU: a body with organs of random place, size and density; no noise."""
    generator = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size] - np.array(shift)[:, None, None]
    unit = size / 64
    image = np.full((size, size), -1000.0)
    middle = size / 2 + generator.uniform(-2, 2, 2) * unit
    image[_inside(y, x, middle, (27 * unit, 24 * unit))] = 0.0
    for _ in range(9):
        centre = size / 2 + generator.uniform(-16, 16, 2) * unit
        image[_inside(y, x, centre, generator.uniform(2, 7, 2) * unit)] = generator.uniform(
            -150, 300
        )
    return image.astype(np.float32)


def noisy(clean: Floats, deviation: float, seed: int) -> Floats:
    """With white noise of that standard deviation, as a scanner stores it: whole numbers."""
    noise = np.random.default_rng([seed, 77]).normal(0, deviation, clean.shape)
    return np.rint(clean + noise).astype(np.float32)


def fraction(hounsfield: Floats) -> Floats:
    """-1024..976 HU as 0..1, for files that stand for radiographs."""
    return ((hounsfield + 1024) / 2000).astype(np.float32)


def write_ct(path: Path, values: Floats, *, position: float = 0.0, **attributes: Any) -> Path:
    """One CT slice of a patient ``P1`` whose place depends on nothing but `position`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    given = {"PatientID": "P1", "FrameOfReferenceUID": f"{UIDS}.1", "ConvolutionKernel": "B30f"}
    return write(ct_slice(values, position=position, **given | attributes), path)


def write_png(path: Path, values: Floats, *, offset: int = 32768) -> Path:
    """HU in 16 bits as DeepLesion stores them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.rint(values + offset).astype(np.uint16)).save(path)
    return path


def write_hdf5(path: Path, volume: NDArray[Any], name: str = "data") -> Path:
    """A stack ``[slices, rows, columns]`` in one data set."""
    import h5py  # noqa: PLC0415

    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file.create_dataset(name, data=volume)
    return path


def write_nifti(path: Path, volume: Floats, mm: float = 0.7) -> Path:
    """A stack ``[slices, rows, columns]`` as a volume."""
    import nibabel  # noqa: PLC0415

    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(volume.T.copy(), np.diag([mm, mm, 3, 1])), path)
    return path


def write_patients(folder: Path, patients: int = 6) -> None:
    """Folders ``low`` and ``full``, two slices of each of some patients, for training by folder."""
    for number in range(patients):
        for index in range(2):
            clean = scene(10 * number + index)
            for side, level in (("low", 30), ("full", 3)):
                path = folder / side / f"Phantom^{number}" / f"{index}.IMA"
                write_ct(path, noisy(clean, level, number), PatientID=f"SECRET{number}")


def _inside(
    y: NDArray[Any], x: NDArray[Any], centre: NDArray[Any], radii: Any
) -> NDArray[np.bool_]:
    found = ((y - centre[0]) / radii[0]) ** 2 + ((x - centre[1]) / radii[1]) ** 2 < 1
    return np.asarray(found)

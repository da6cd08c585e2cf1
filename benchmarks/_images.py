"""Images to send: the demonstration's phantom, as many slices as asked for, with new UIDs."""

from __future__ import annotations

from copy import deepcopy
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from dicom_node.demo.phantom import CT_SLICES, CT_STEP_MM, ct_series, radiograph

DX_SIZE = (2614, 3072)
"""Rows and columns of a chest detector of 43 cm, portrait to landscape of 14 x 17 inch."""


class Phantom:
    """Writes series of the phantom; every series and instance is new, its pixels differ.

    Parameters
    ----------
    folder : Path
        Series go into folders of their own below it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._slices: list[Dataset] = []
        self._radiograph: Dataset | None = None

    def ct(self, count: int) -> Path:
        """Write a CT series of `count` slices of 512 x 512; returns its folder."""
        self._slices = self._slices or list(ct_series())
        study, series, frame = generate_uid(), generate_uid(), generate_uid()
        folder = self._new_folder("ct")
        for number, base in enumerate(islice(cycle(self._slices), count)):
            pixels = np.frombuffer(base.PixelData, "<u2").reshape(base.Rows, base.Columns)
            dataset = _with_pixels(base, np.roll(pixels, number // CT_SLICES, axis=1))
            dataset.FrameOfReferenceUID = frame
            x, y, _ = base.ImagePositionPatient
            dataset.ImagePositionPatient = [x, y, round(100 - number * CT_STEP_MM, 3)]
            dataset.SliceLocation = dataset.ImagePositionPatient[2]
            _identify(dataset, study, series, number + 1)
            dataset.save_as(folder / f"{number:05d}.dcm", enforce_file_format=True)
        return folder

    def dx(self, count: int = 1) -> Path:
        """Write radiographs of `DX_SIZE`; returns their folder."""
        self._radiograph = self._radiograph or next(radiograph())
        base = self._radiograph
        small = np.frombuffer(base.PixelData, "<u2").reshape(base.Rows, base.Columns)
        extra = [(0, wanted - had) for wanted, had in zip(DX_SIZE, small.shape, strict=True)]
        large = np.pad(small, extra, mode="reflect")
        folder = self._new_folder("dx")
        for number in range(count):
            dataset = _with_pixels(base, np.roll(large, number, axis=1))
            _identify(dataset, generate_uid(), generate_uid(), 1)
            dataset.save_as(folder / f"{number:05d}.dcm", enforce_file_format=True)
        return folder

    def _new_folder(self, name: str) -> Path:
        folder = self._folder / f"{name}-{len(list(self._folder.glob('*'))):03d}"
        folder.mkdir(parents=True)
        return folder


def _with_pixels(base: Dataset, pixels: NDArray[Any]) -> Dataset:
    dataset = deepcopy(base)
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.PixelData = pixels.astype("<u2").tobytes()
    return dataset


def _identify(dataset: Dataset, study: str, series: str, number: int) -> None:
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = study, series
    dataset.SOPInstanceUID = generate_uid()
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.InstanceNumber = number

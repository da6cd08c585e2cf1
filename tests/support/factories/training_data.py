"""Made-up images in the folders that shipped recipes and evaluation look for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from tests.support.factories import dicom
from tests.support.factories.parts import chest

XRAY = {
    "sources": [{"folder": "xray", "pattern": "*.png", "scales": [2]}],
    "held_out": ["held.png"],
}
CT = {
    "sources": [{"folder": "ct/one", "scales": [1]}],
    "held_out": ["ct/two", "ct_paired_quarter_dose"],
    "phantoms": 0,
}
"""``[data]`` of recipes on the images."""


def write_images(root: Path) -> Path:
    """Radiographs, CT of two patients, and a pair of full and quarter dose."""
    pairs = root / "ct_paired_quarter_dose" / "one"
    for folder in (root / "xray", root / "ct" / "one", root / "ct" / "two", pairs):
        folder.mkdir(parents=True)
    for index, name in enumerate(("trained.png", "held.png")):
        values = chest((128, 128), index)
        Image.fromarray((values * 65535).astype(np.uint16)).save(root / "xray" / name)
    for index, patient in enumerate(("one", "two")):
        dicom.write(dicom.ct_slice(seed=index), root / "ct" / patient / "0.dcm")
    for index, dose in enumerate(("full", "quarter")):
        dicom.write(dicom.ct_slice(seed=index), pairs / f"0_{dose}.dcm")
    return root

"""Compressed by DCMTK and read by us: the same pixels, wherever they lie in their cells."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset

from tests.support.factories import ct_slice, dx_image, write
from workers.load import load

pytestmark = pytest.mark.dcmtk

STORED = np.random.default_rng(0).integers(0, 4096, (16, 20))


def raw(image: Dataset, cells: np.ndarray[Any, Any], dtype: str) -> Dataset:
    image.PixelData = cells.astype(dtype).tobytes()
    return image


IMAGES = {
    "overlay bits above": lambda: raw(dx_image(STORED), STORED | 0x8000, "<u2"),
    "overlay bits below": lambda: raw(dx_image(STORED, HighBit=15), STORED << 4 | 5, "<u2"),
    "signed": lambda: ct_slice(stored=STORED - 2048, bits_stored=12),
    "signed, at the top": lambda: raw(
        ct_slice(stored=STORED - 2048, bits_stored=12, HighBit=15), (STORED - 2048) << 4, "<i2"
    ),
    "in the middle": lambda: raw(dx_image(STORED, HighBit=13), STORED << 2 | 0x8001, "<u2"),
}


@pytest.mark.parametrize("image", IMAGES)
@pytest.mark.parametrize("command", ["dcmcjpls", "dcmcjpeg", "dcmcrle"])
def test_lossless_compression_changes_no_bit(tmp_path: Path, command: str, image: str) -> None:
    plain = write(IMAGES[image](), tmp_path / "plain.dcm")
    packed = tmp_path / "packed.dcm"
    subprocess.run([command, plain, packed], check=True)
    before, after = load(plain), load(packed)
    assert after.transfer_syntax != before.transfer_syntax
    np.testing.assert_array_equal(after.cells, before.cells)
    np.testing.assert_array_equal(after.frames[0].values, before.frames[0].values)

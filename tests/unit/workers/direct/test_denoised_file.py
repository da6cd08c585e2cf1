"""What is said of how a file was made is what was measured of all of it."""

from __future__ import annotations

import numpy as np

from dicom_node.noise import SOFT_TISSUE, exposed, measure
from workers.direct.denoised_file import noise_of


def test_noise_that_is_measured_band_by_band_is_that_of_the_whole_image() -> None:
    rng = np.random.default_rng(3)
    before = (40 + rng.normal(0, 20, (700, 100))).astype(np.float32)
    after = (before / 2 + 20).astype(np.float32)
    assert noise_of(before, after, "HU", 1.0) == measure([(before, after)], SOFT_TISSUE)
    grey = noise_of(before, after, "stored", 255.0)
    assert grey == measure([(before, after)], exposed(255))


def test_noise_that_cannot_be_measured_is_no_number() -> None:
    flat = np.zeros((4, 4), np.float32)
    found = noise_of(flat, flat, "HU", 1.0)
    assert (found.windows, np.isnan(found.before)) == (0, True)

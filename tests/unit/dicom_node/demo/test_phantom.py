"""The phantom is an image that the node denoises, the same every time, and noisy as it says."""

from __future__ import annotations

from itertools import islice

import numpy as np

from dicom_node import noise
from dicom_node.demo import phantom
from dicom_node.demo.results import pixels
from dicom_node.routing import eligibility


def test_ct_has_tissue_values_and_the_noise_that_it_claims() -> None:
    (dataset,) = islice(phantom.ct_series(), 1)
    assert eligibility.check(dataset).units == "HU"
    hu = pixels(dataset)
    assert hu.shape == (512, 512)
    # Air outside the patient, soft tissue in the heart.
    assert abs(float(np.median(hu[:40, :40])) + 1000) < 5
    assert 20 < float(np.median(hu[215:235, 265:285])) < 80
    measured = noise.measure([(hu, hu)], noise.SOFT_TISSUE)
    assert 12 < measured.before < 30


def test_slices_differ_in_position_and_uid_and_share_their_series() -> None:
    first, second = islice(phantom.ct_series(), 2)
    assert first.SeriesInstanceUID == second.SeriesInstanceUID
    assert first.SOPInstanceUID != second.SOPInstanceUID
    assert first.ImagePositionPatient[2] - second.ImagePositionPatient[2] == phantom.CT_STEP_MM


def test_the_same_seed_gives_the_same_object() -> None:
    (first,), (second,) = (list(islice(phantom.ct_series(3), 1)) for _ in range(2))
    assert first == second
    (other,) = islice(phantom.ct_series(4), 1)
    assert other.SOPInstanceUID != first.SOPInstanceUID


def test_the_radiograph_is_12_bits_with_a_collimated_border() -> None:
    (dataset,) = phantom.radiograph()
    assert eligibility.check(dataset).units == "stored"
    stored = dataset.pixel_array
    assert stored.shape == (2500, 2048)
    assert stored.max() <= 4095
    assert not stored[: phantom.DX_BORDER].any()
    assert stored[phantom.DX_BORDER : -phantom.DX_BORDER, 100:-100].min() >= 1

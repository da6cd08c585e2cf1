"""An image of the trial says who it is, and what must become of it is known to the last bit."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from pydicom import dcmread

from tests.chaos.images import (
    HIGHEST,
    INTERCEPT,
    SIDE,
    Identity,
    NoIdentityError,
    expected,
    identity_of,
)

ONE = Identity(number=4711, patient=12, version=1, seed=7)


def test_the_header_and_the_pixels_say_the_same_identity() -> None:
    image = dcmread(BytesIO(ONE.data_set()), force=True)
    stored = np.frombuffer(image.PixelData, "<i2").reshape(image.Rows, image.Columns)
    assert identity_of(stored) == ONE
    assert (image.SOPInstanceUID, image.SeriesInstanceUID, image.StudyInstanceUID) == (
        ONE.uid, ONE.series_uid, ONE.study_uid,
    )  # fmt: skip
    assert (image.PatientID, image.PatientName) == ("CHAOS0000012", "Chaos^Patient0000012")
    assert image.InstanceNumber == 4711


def test_versions_share_the_uid_and_nothing_of_the_pixels() -> None:
    other = Identity(ONE.number, ONE.patient, 2, ONE.seed)
    assert other.uid == ONE.uid
    assert (other.pixels() != ONE.pixels())[2:].mean() > 0.99


@pytest.mark.parametrize("place", [(0, 0), (0, SIDE - 1), (1, 0), (1, SIDE - 1)])
@pytest.mark.parametrize("change", [100, -100, 2])
def test_a_changed_bit_of_the_identity_is_noticed(place: tuple[int, int], change: int) -> None:
    stored = ONE.pixels()
    stored[place] += change
    with pytest.raises(NoIdentityError):
        identity_of(stored)


def test_what_the_model_makes_of_three_pixels_by_hand() -> None:
    stored = ONE.pixels()
    result = expected(ONE)
    assert np.array_equal(result[:2], stored[:2]), "above the model's range nothing changes"
    inner = stored[9:12, 20:23].astype(int)
    weights = np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]])
    assert result[10, 21] == round((inner * weights).sum() / 16)
    # beyond the border the network sees -1024 HU, which is stored as 0
    corner = stored[-2:, -2:].astype(int)
    assert result[-1, -1] == round((corner * weights[:2, :2]).sum() / 16)
    # and above its range the highest value that it knows
    under = stored[2:4, 4:7].astype(int)
    ceiling = int(HIGHEST) - INTERCEPT
    assert result[2, 5] == round((4 * ceiling + (under * weights[1:]).sum()) / 16)

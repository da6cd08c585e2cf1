"""What a C-STORE status means for the delivery."""

from __future__ import annotations

import pytest

from dicom_node.network.request.statuses import Verdict, meaning


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (0x0000, Verdict.DELIVERED),
        (0x0107, Verdict.WARNING),
        (0x0111, Verdict.WARNING),
        (0x0116, Verdict.WARNING),
        (0xB000, Verdict.WARNING),
        (0xB00F, Verdict.WARNING),
        (0x0110, Verdict.RETRY),
        (0x0210, Verdict.RETRY),
        (0x0211, Verdict.RETRY),
        (0x0212, Verdict.RETRY),
        (0x0213, Verdict.RETRY),
        (0xA700, Verdict.RETRY),
        (0xA7FF, Verdict.RETRY),
        (0xFE00, Verdict.RETRY),
        (0xFF00, Verdict.RETRY),
        (0x0117, Verdict.REFUSED),
        (0x0122, Verdict.REFUSED),
        (0x0124, Verdict.REFUSED),
        (0xA900, Verdict.REFUSED),
        (0xA9AB, Verdict.REFUSED),
        (0xC000, Verdict.REFUSED),
        (0xCFFF, Verdict.REFUSED),
    ],
)
def test_as_the_standard_says(status: int, verdict: Verdict) -> None:
    assert meaning(status).verdict is verdict


@pytest.mark.parametrize("status", [0x0199, 0xA800, 0xD000, 0x4242])
def test_a_failure_that_nobody_defined_is_tried_again(status: int) -> None:
    assert meaning(status).verdict is Verdict.RETRY


def test_only_success_says_delivered_without_a_remark() -> None:
    delivered = [s for s in range(0x10000) if meaning(s).verdict is Verdict.DELIVERED]
    assert delivered == [0x0000]


def test_every_status_has_words() -> None:
    assert all(meaning(status).words for status in range(0x10000))

"""What a C-STORE status means for the delivery."""

from __future__ import annotations

import pytest

from dicom_node.network.request.statuses import DeliveryOutcome, meaning


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (0x0000, DeliveryOutcome.DELIVERED),
        (0x0107, DeliveryOutcome.WARNING),
        (0x0111, DeliveryOutcome.WARNING),
        (0x0116, DeliveryOutcome.WARNING),
        (0xB000, DeliveryOutcome.WARNING),
        (0xB00F, DeliveryOutcome.WARNING),
        (0x0110, DeliveryOutcome.RETRY),
        (0x0210, DeliveryOutcome.RETRY),
        (0x0211, DeliveryOutcome.RETRY),
        (0x0212, DeliveryOutcome.RETRY),
        (0x0213, DeliveryOutcome.RETRY),
        (0xA700, DeliveryOutcome.RETRY),
        (0xA7FF, DeliveryOutcome.RETRY),
        (0xFE00, DeliveryOutcome.RETRY),
        (0xFF00, DeliveryOutcome.RETRY),
        (0x0117, DeliveryOutcome.REFUSED),
        (0x0122, DeliveryOutcome.REFUSED),
        (0x0124, DeliveryOutcome.REFUSED),
        (0xA900, DeliveryOutcome.REFUSED),
        (0xA9AB, DeliveryOutcome.REFUSED),
        (0xC000, DeliveryOutcome.REFUSED),
        (0xCFFF, DeliveryOutcome.REFUSED),
    ],
)
def test_as_the_standard_says(status: int, outcome: DeliveryOutcome) -> None:
    assert meaning(status).outcome is outcome


@pytest.mark.parametrize("status", [0x0199, 0xA800, 0xD000, 0x4242])
def test_a_failure_that_nobody_defined_is_tried_again(status: int) -> None:
    assert meaning(status).outcome is DeliveryOutcome.RETRY


def test_only_success_says_delivered_without_a_remark() -> None:
    delivered = [s for s in range(0x10000) if meaning(s).outcome is DeliveryOutcome.DELIVERED]
    assert delivered == [0x0000]


def test_every_status_has_words() -> None:
    assert all(meaning(status).words for status in range(0x10000))

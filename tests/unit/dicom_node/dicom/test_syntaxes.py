from __future__ import annotations

import pytest

from dicom_node.dicom.syntaxes import best_of

EXPLICIT, IMPLICIT, BIG = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.2"
JPEG, JPEG_LOSSLESS, RLE = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.5"
MPEG4, ENCAPSULATED = "1.2.840.10008.1.2.4.102", "1.2.840.10008.1.2.1.98"
HTJ2K, HTJ2K_LOSSY = "1.2.840.10008.1.2.4.201", "1.2.840.10008.1.2.4.203"


@pytest.mark.parametrize(
    ("proposed", "chosen"),
    [
        ([EXPLICIT, IMPLICIT], EXPLICIT),
        ([IMPLICIT, EXPLICIT], IMPLICIT),
        ([BIG, IMPLICIT], BIG),
        ([JPEG_LOSSLESS, EXPLICIT], JPEG_LOSSLESS),
        ([RLE, IMPLICIT], RLE),
        ([JPEG, IMPLICIT], IMPLICIT),
        ([JPEG], JPEG),
        ([HTJ2K, EXPLICIT], HTJ2K),
        ([HTJ2K_LOSSY, EXPLICIT], EXPLICIT),
        ([ENCAPSULATED, EXPLICIT], ENCAPSULATED),
        ([MPEG4], MPEG4),
        (["1.2.840.113619.5.2", JPEG], JPEG),
        (["1.2.840.113619.5.2"], "1.2.840.113619.5.2"),
    ],
)
def test_the_peers_order_counts_and_lossless_beats_lossy(proposed: list[str], chosen: str) -> None:
    assert best_of(proposed) == chosen


def test_nothing_proposed_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="without transfer syntaxes"):
        best_of([])

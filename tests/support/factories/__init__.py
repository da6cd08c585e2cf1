"""Synthetic DICOM objects for tests: realistic, valid, small, and free of anybody's data."""

from tests.support.factories.dicom import (
    ct_series,
    ct_slice,
    dx_image,
    encapsulated,
    enhanced_ct,
    multiframe,
    non_image,
    to_bytes,
    with_pixels,
    write,
)

__all__ = [
    "ct_series",
    "ct_slice",
    "dx_image",
    "encapsulated",
    "enhanced_ct",
    "multiframe",
    "non_image",
    "to_bytes",
    "with_pixels",
    "write",
]

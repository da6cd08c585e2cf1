"""From denoised frames to the DICOM object that goes to the PACS."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dicom_node.dicom.part10 import Part10File
from workers.encode.derived import encode_derived
from workers.encode.secondary_capture import encode_secondary_capture
from workers.encode.spec import Form, ResultSpec
from workers.load import Source

__all__ = ["Form", "ResultSpec", "encode"]


def encode(source: Source, denoised: Sequence[NDArray[np.float32]], spec: ResultSpec) -> Part10File:
    """Encode a result.

    Parameters
    ----------
    source : Source
        The image that was denoised.
    denoised : sequence of ndarray of float32
        One ``[H, W]`` per frame, in the units of ``source.frames``.
    spec : ResultSpec
        What the result says about itself.

    Returns
    -------
    Part10File
        In Explicit VR Little Endian. The same arguments give the same bytes.

    Raises
    ------
    EncodeError
        If frames are missing, of another size, or not finite; or if the source has no UIDs to
        refer to.
    """
    if spec.form == "derived":
        return encode_derived(source, denoised, spec)
    return encode_secondary_capture(source, denoised, spec)

"""A grey PNG, JPEG or TIFF, denoised at once."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from dicom_node.dicom.layout import Layout
from dicom_node.errors import FailItem, PassThrough
from dicom_node.routing.eligibility import Units
from workers.direct.denoised_file import DenoisedFile, Kind, Provenance, middle, noise_of
from workers.direct.grey_image import GreyImage
from workers.direct.networks import Networks
from workers.direct.request import Request
from workers.load import Rescale, Source, frame_of
from workers.results import record_of, software_version

_FEWEST_BITS_OF_CT: Final = 9
_BYTE: Final = 8
_USED: Final = 2**15
"""An image of 16 bits that has no value from here on may have fewer."""

_USUAL_BITS: Final = (8, 10, 12, 14, 16)


def denoise_image(networks: Networks, data: bytes, kind: Kind, asked: Request) -> DenoisedFile:
    """Denoise a grey image.

    For a model of radiographs its grey values are stored values: 0 is black, and the largest that
    its bits can hold is the full scale. For a model of CT somebody has to say what they are in HU.

    Raises
    ------
    PassThrough
        It must not be denoised; the message is the reason.
    NodeError, ModelStoreError
        It cannot be read or denoised, or the model cannot be had.
    """
    image = GreyImage.read(data, kind)
    if image.is_own_result:
        raise PassThrough("own result: made by dicom-node already")
    units: Units = "stored" if asked.hounsfield is None else "HU"
    rule = asked.rule(units)
    version = networks.resolve(rule.model)
    needed = version.manifest.input.units
    if needed != units:
        raise PassThrough(_other_units(str(version.ref), needed, kind))
    bits = _bits(image, asked)
    layout = Layout(
        rows=image.cells.shape[0], columns=image.cells.shape[1], frames=1, allocated=image.bits,
        stored=bits, high_bit=bits - 1, signed=False, inverted=image.inverted,
    )  # fmt: skip
    source = source_of(image.cells[np.newaxis], layout, asked.hounsfield)
    strength = rule.strength_with(version.manifest.strength)
    pixels, denoiser = networks.run(version.ref, source.frames, strength)
    before, after = middle(source, pixels)
    noise = noise_of(before, after, units, source.frames[0].full_scale)
    how = Provenance(version.ref, strength, record_of(denoiser), units, noise)
    note = f"Denoised by model {version.ref}, sha256 {version.ref.sha256}, {how.settings}"
    software = f"dicom-node {software_version()}"
    written = image.written(source.inverse(pixels[0], 0), note, software)
    return DenoisedFile(written, kind, how, source, before, after)


def source_of(
    cells: NDArray[np.unsignedinteger[Any]], layout: Layout, rescale: Rescale | None
) -> Source:
    """Pixels that came without a header.

    Parameters
    ----------
    cells : ndarray, shape (N, H, W)
        Unsigned, of the layout's Bits Allocated.
    layout : Layout
    rescale : Rescale, optional
        What they are in HU; absent: they are stored values of a radiograph.
    """
    return Source(
        dataset=Dataset(),
        elements={},
        transfer_syntax="",
        layout=layout,
        units="stored" if rescale is None else "HU",
        frames=tuple(frame_of(each, layout, rescale, None) for each in cells),
        cells=cells,
        rescales=() if rescale is None else (rescale,) * len(cells),
        padding=None,
        pixel_bytes=cells.nbytes,
    )


def bits_used(largest: int, allocated: int, stated: int | None) -> int:
    """How many bits the grey values of an image use.

    Parameters
    ----------
    largest : int
        The largest of them.
    allocated : int
        Bits that each has, 8 or 16.
    stated : int, optional
        What somebody says.

    Raises
    ------
    ValueError
        Nobody says it and it cannot be told, or what is said cannot be.
    """
    if stated is None:
        if allocated > _BYTE and 0 < largest < _USED:
            guess = next(bits for bits in _USUAL_BITS if largest < 1 << bits)
            raise ValueError(
                f"it has 16 bits and its largest value is {largest}: state how many bits its full "
                f"scale has, perhaps {guess}, or 16"
            )
        return allocated
    if stated > allocated:
        raise ValueError(f"it has {allocated} bits, not {stated}")
    if largest >= 1 << stated:
        raise ValueError(f"its largest value is {largest}, which is more than {stated} bits hold")
    return stated


def _bits(image: GreyImage, asked: Request) -> int:
    if asked.hounsfield is None:
        stated = asked.bits if image.bits > _BYTE else None  # a folder may have both
        try:
            return bits_used(int(image.cells.max()), image.bits, stated)
        except ValueError as error:
            hint = " (--bits)" if asked.bits is None else ""
            raise FailItem(f"{error}{hint}") from error
    if image.bits < _FEWEST_BITS_OF_CT:
        raise PassThrough(f"{image.bits} bits stored: too coarse to denoise")
    return image.bits


def _other_units(model: str, needed: Units, kind: Kind) -> str:
    if needed == "HU":
        return (
            f"model {model} takes Hounsfield units, and a {kind} does not say what its grey values "
            "are in them; state it for two of them: --hu 0=-1024,4095=3071"
        )
    return f"model {model} is for radiographs, not for Hounsfield units; leave --hu out"

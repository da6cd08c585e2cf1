"""Which images are denoised, and why the others are not, from the header alone.

Everything that is not plainly a grey-scale CT slice in Hounsfield units or a grey-scale
projection X-ray passes through untouched, with a reason that the ledger keeps. Reasons name
attributes and defined terms, never their free text.

Whether an image may be denoised is asked here, once, when it is planned. `dicom.layout` and
`workers.load` refuse again only what they cannot make numbers of (colour, floating point, a CT
image without rescale): they are used without planning too, and never return what is no image.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from pydicom.dataset import Dataset
from pydicom.uid import UID

from dicom_node.dicom.header import items_of, number_of, texts_of
from dicom_node.dicom.uids import is_valid_uid
from dicom_node.errors import PassThrough

Units = Literal["HU", "stored"]

MODEL_NAME = "dicom-node"
"""Manufacturer's Model Name by which our own results are recognised in Contributing Equipment."""

MODIFYING_EQUIPMENT = "109103"
"""Code (DCM) of the purpose of that Contributing Equipment item (PS3.16 CID 7005)."""

CT_CLASSES = frozenset(
    {
        "1.2.840.10008.5.1.4.1.1.2",  # CT
        "1.2.840.10008.5.1.4.1.1.2.1",  # Enhanced CT
        "1.2.840.10008.5.1.4.1.1.2.2",  # Legacy Converted Enhanced CT
    }
)
PROJECTION_CLASSES = frozenset(
    {
        "1.2.840.10008.5.1.4.1.1.1",  # CR
        "1.2.840.10008.5.1.4.1.1.1.1",  # DX for presentation (PX and RG too)
        "1.2.840.10008.5.1.4.1.1.1.1.1",  # DX for processing
        "1.2.840.10008.5.1.4.1.1.1.2",  # MG for presentation
        "1.2.840.10008.5.1.4.1.1.1.2.1",  # MG for processing
        "1.2.840.10008.5.1.4.1.1.1.3",  # IO for presentation
        "1.2.840.10008.5.1.4.1.1.1.3.1",  # IO for processing
        "1.2.840.10008.5.1.4.1.1.12.1",  # XA
        "1.2.840.10008.5.1.4.1.1.12.1.1",  # Enhanced XA
        "1.2.840.10008.5.1.4.1.1.12.2",  # XRF
        "1.2.840.10008.5.1.4.1.1.12.2.1",  # Enhanced XRF
    }
)

_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_DEEPEST = 16  # devices one within the other
_GREY = ("MONOCHROME1", "MONOCHROME2")
_FEWEST_BITS = {"HU": 9, "stored": 8}
_HOUNSFIELD = frozenset({"", "HU", "HU_MOD"})

# Terms of Image Type (0008,0008), the standard's and those that vendors write.
_LOCALIZER = re.compile(r"LOCALI[SZ]ER|SCOUT|TOPOGRAM|SURVIEW|SCANOGRAM|\bTOP$|DUALSCOUT")
_SCREEN = re.compile(r"SCREEN|DOSE|\bPROT$|PROTOCOL|REPORT|SNAPSHOT|CAPTURE|\bRESULT")
_RENDERED = re.compile(
    r"VOLUME.?RENDER|\bVRT?\b|\b3D\b|SURFACE|SHADED|\bM(IN)?IP\b|PROJECTION IMAGE|MAXIMUM|MINIMUM"
)
_MATERIAL = re.compile(
    r"\bVMI\b|MONO.?E\b|MONO.?ENERG|\bMONO_|\bMAT_|MATERIAL|EFF_ATOMIC|ELECTRON_DENS|IODINE"
    r"|\bVNC\b|VIRTUAL.?NON|Z.?EFF|\bGSI\b|CALCIUM|URIC|\bSPECTRAL"
)
_MAP = re.compile(
    r"\bR?CB[FV]\b|\bRCB[FV]\b|\bMTT\b|\bTTP\b|\bTMAX\b|\bTTS\b|PERFUSION.?MAP|PARAMETRIC|\bFUSED"
)
_SUBTRACTION = re.compile(r"SUBTRACT|\bDSA\b|\bSUB\b|RECOMBINED|SOFT.?TISSUE|BONE.?ONLY")
_TERM = re.compile(r"[A-Z0-9_/ ]{1,16}")


@dataclass(frozen=True, slots=True)
class EligibleImage:
    """An image that may be denoised.

    Attributes
    ----------
    units : {"HU", "stored"}
        What its physical values are.
    modality : str
        Modality (0008,0060), upper case.
    frame_count : int
        Number of Frames, 1 where the attribute is absent.
    """

    units: Units
    modality: str
    frame_count: int


def check(dataset: Dataset, *, uid_root: str | None = None) -> EligibleImage:
    """Decide from the header whether an image is denoised.

    Parameters
    ----------
    dataset : pydicom.Dataset
        The header; pixel data is not needed (``dcmread(..., stop_before_pixels=True)``).
    uid_root : str, optional
        The organisation's own UID root, if results get one; UIDs below it are our own results.

    Returns
    -------
    EligibleImage
        What the image is, if it is to be denoised.

    Raises
    ------
    PassThrough
        If it must not be denoised; the message is the reason.
    """
    if is_own_result(dataset, uid_root=uid_root):
        raise PassThrough("own result: already denoised by this node")
    sop_class = _text(dataset, "SOPClassUID")
    if sop_class == _SECONDARY_CAPTURE or sop_class.startswith(_SECONDARY_CAPTURE + "."):
        raise PassThrough("secondary capture: not an image as acquired")
    if sop_class not in CT_CLASSES | PROJECTION_CLASSES:
        raise PassThrough(f"{_class_name(sop_class)} is not an image that is denoised")
    kind = units(dataset)
    _check_grey(dataset, kind)
    _check_image_type(dataset, kind)
    if _text(dataset, "BurnedInAnnotation") == "YES":
        raise PassThrough("burned-in annotation: text in the pixels would be altered")
    if items_of(dataset, "ModalityLUTSequence"):
        raise PassThrough("modality LUT: stored values are not linear")
    if kind == "HU":
        _check_hounsfield(dataset)
    return EligibleImage(
        kind, _text(dataset, "Modality"), max(1, _integer(dataset, "NumberOfFrames"))
    )


def units(dataset: Dataset) -> Units:
    """Physical units of an image of this SOP class: ``"HU"`` for CT, else ``"stored"``."""
    return "HU" if _text(dataset, "SOPClassUID") in CT_CLASSES else "stored"


def is_own_result(dataset: Dataset, *, uid_root: str | None = None) -> bool:
    """Whether the object, or what it was derived from, was already denoised by a node like us.

    Looks for an item of Contributing Equipment Sequence (0018,A001) with our model name and the
    purpose "Modifying Equipment", behind whatever other devices added, and at the organisation's
    own UID root where there is one.
    """
    if uid_root and _text(dataset, "SOPInstanceUID").startswith(uid_root + "."):
        return True
    return any(_is_ours(item) for item in _equipment(dataset))


def _is_ours(item: Dataset) -> bool:
    return _text(item, "ManufacturerModelName") == MODEL_NAME.upper() and any(
        _text(purpose, "CodeValue") == MODIFYING_EQUIPMENT
        for purpose in items_of(item, "PurposeOfReferenceCodeSequence")
    )


def _equipment(dataset: Dataset, deepest: int = _DEEPEST) -> Iterator[Dataset]:
    """Every item of Contributing Equipment Sequence, wherever devices on the way have put it.

    Also within another item, and in what a device kept of attributes that it replaced (Original
    Attributes Sequence, PS3.3 C.12.1).
    """
    if deepest == 0:
        return
    for item in items_of(dataset, "ContributingEquipmentSequence"):
        yield item
        yield from _equipment(item, deepest - 1)
    for original in items_of(dataset, "OriginalAttributesSequence"):
        for kept in items_of(original, "ModifiedAttributesSequence"):
            yield from _equipment(kept, deepest - 1)


def _check_grey(dataset: Dataset, kind: Units) -> None:
    photometric = _text(dataset, "PhotometricInterpretation")
    if photometric and photometric not in _GREY:
        raise PassThrough(f"photometric interpretation {_term(photometric)} is not grey-scale")
    if _integer(dataset, "SamplesPerPixel", 1) != 1:
        raise PassThrough("more than one sample per pixel: not grey-scale")
    if _text(dataset, "PixelPresentation") not in ("", "MONOCHROME"):
        raise PassThrough("pixel presentation in colour: not grey-scale")
    if any(keyword in dataset for keyword in ("FloatPixelData", "DoubleFloatPixelData")):
        raise PassThrough("floating-point pixel data")
    bits = _integer(dataset, "BitsStored", 16)
    if 0 < bits < _FEWEST_BITS[kind]:
        raise PassThrough(f"{bits} bits stored: too coarse to denoise")


def _check_image_type(dataset: Dataset, kind: Units) -> None:
    terms = _terms(dataset, "ImageType")
    reasons = [
        (_SCREEN, "screen save, dose or protocol page"),
        (_RENDERED, "rendered or intensity-projected image"),
        (_SUBTRACTION, "subtraction or recombined image"),
    ]
    if kind == "HU":
        reasons += [
            (_LOCALIZER, "localizer"),
            (_MATERIAL, "multi-energy image: values are not conventional Hounsfield units"),
            (_MAP, "parametric map: values are not Hounsfield units"),
        ]
    for pattern, reason in reasons:
        if any(pattern.search(term) for term in terms):
            raise PassThrough(f"{reason} (by Image Type)")


def _check_hounsfield(dataset: Dataset) -> None:
    if _text(dataset, "MultienergyCTAcquisition") == "YES" and not any(
        term == "CONVENTIONAL" for term in _terms(dataset, "ImageType")
    ):
        raise PassThrough("multi-energy acquisition: values may not be Hounsfield units")
    transforms = _transformations(dataset)
    if not transforms or "RescaleSlope" in dataset:  # which frames without their own then have
        transforms.append(dataset)
    for transform in transforms:
        rescale_type = _text(transform, "RescaleType")
        if rescale_type not in _HOUNSFIELD:
            raise PassThrough(f"rescale type {_term(rescale_type)} is not Hounsfield units")
        if "RescaleSlope" not in transform or "RescaleIntercept" not in transform:
            raise PassThrough("CT without rescale: no Hounsfield units")
        for keyword in ("RescaleSlope", "RescaleIntercept"):
            if not any(texts_of(transform, keyword)):
                raise PassThrough(f"CT with an empty {keyword}: no Hounsfield units")


def _transformations(dataset: Dataset) -> list[Dataset]:
    """Pixel value transformations of an enhanced image, shared or one per frame."""
    found = []
    for groups in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        for group in items_of(dataset, groups):
            found += items_of(group, "PixelValueTransformationSequence")
    return found


def _terms(dataset: Dataset, keyword: str) -> list[str]:
    return [text.upper() for text in texts_of(dataset, keyword)]


def _text(dataset: Dataset, keyword: str) -> str:
    """Return the first value, upper case, empty where there is none."""
    return next(iter(_terms(dataset, keyword)), "")


def _integer(dataset: Dataset, keyword: str, default: int = 0) -> int:
    number = number_of(dataset, keyword)
    return int(number) if number is not None and math.isfinite(number) else default


def _class_name(sop_class: str) -> str:
    if not is_valid_uid(sop_class):
        return "an object without a valid SOP class"
    return UID(sop_class).name


def _term(text: str) -> str:
    """Return `text` where it looks like a defined term; free text is not repeated."""
    return text if _TERM.fullmatch(text) else "(not a defined term)"

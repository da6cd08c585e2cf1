"""Builders of synthetic DICOM data sets.

Every builder returns a pydicom `Dataset` with `file_meta`, complete enough for dciodvfy to find
no error, and takes any attribute by its keyword (``ct_slice(Rows=...)`` is refused; use `values`).
A keyword given as ``None`` deletes the attribute.
"""

from __future__ import annotations

import warnings
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydicom import config as pydicom_config
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.filewriter import dcmwrite
from pydicom.uid import (
    UID,
    ComputedRadiographyImageStorage,
    CTImageStorage,
    DigitalIntraOralXRayImageStorageForPresentation,
    DigitalMammographyXRayImageStorageForPresentation,
    DigitalMammographyXRayImageStorageForProcessing,
    DigitalXRayImageStorageForPresentation,
    DigitalXRayImageStorageForProcessing,
    EnhancedCTImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    XRayAngiographicImageStorage,
    XRayRadiofluoroscopicImageStorage,
    generate_uid,
)

from tests.support.factories.parts import chest, clip, disc, ds, dx_modules, header, item, override

Kind = Literal["dx", "dx-processing", "cr", "mg", "mg-processing", "io", "xa", "rf"]

_SOP_CLASSES: dict[str, tuple[UID, str]] = {
    "dx": (DigitalXRayImageStorageForPresentation, "DX"),
    "dx-processing": (DigitalXRayImageStorageForProcessing, "DX"),
    "cr": (ComputedRadiographyImageStorage, "CR"),
    "mg": (DigitalMammographyXRayImageStorageForPresentation, "MG"),
    "mg-processing": (DigitalMammographyXRayImageStorageForProcessing, "MG"),
    "io": (DigitalIntraOralXRayImageStorageForPresentation, "IO"),
    "xa": (XRayAngiographicImageStorage, "XA"),
    "rf": (XRayRadiofluoroscopicImageStorage, "RF"),
}


def ct_slice(
    values: NDArray[Any] | None = None,
    *,
    size: tuple[int, int] = (64, 64),
    stored: NDArray[np.integer[Any]] | None = None,
    slope: float = 1.0,
    intercept: float = -1024.0,
    bits_allocated: int = 16,
    bits_stored: int = 16,
    signed: bool = True,
    position: float = 0.0,
    seed: int = 0,
    transfer_syntax: str = ExplicitVRLittleEndian,
    **attributes: Any,
) -> Dataset:
    """One axial CT slice.

    Parameters
    ----------
    values : ndarray, optional
        ``[H, W]`` in HU; default a noisy disc of soft tissue in air.
    stored : ndarray, optional
        ``[H, W]`` integers to store as they are, instead of `values`.
    slope, intercept : float
        Rescale: HU = stored * slope + intercept.
    position : float
        Table position in mm; ends in Image Position, Slice Location.
    attributes
        Any attribute by keyword, after everything else.
    """
    dataset = header(CTImageStorage, "CT", transfer_syntax)
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.FrameOfReferenceUID = generate_uid()
    dataset.PositionReferenceIndicator = ""
    dataset.BodyPartExamined = "CHEST"
    dataset.KVP = "120"
    dataset.SliceThickness = "1.25"
    dataset.ImagePositionPatient = [-160.0, -160.0, position]
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    dataset.PixelSpacing = [0.625, 0.625]
    dataset.SliceLocation = position
    dataset.PatientPosition = "HFS"
    dataset.AcquisitionNumber = 1
    dataset.RescaleIntercept = ds(intercept)
    dataset.RescaleSlope = ds(slope)
    dataset.RescaleType = "HU"
    dataset.WindowCenter = [40, -600]
    dataset.WindowWidth = [400, 1500]
    dataset.ConvolutionKernel = "STANDARD"
    dataset.XRayTubeCurrent = 200
    dataset.ExposureTime = 500
    if stored is None:
        hu = disc(size, seed) if values is None else np.asarray(values, dtype=np.float64)
        stored = clip(np.rint((hu - intercept) / slope), bits_stored, signed)
    with_pixels(dataset, stored, bits_allocated, bits_stored, signed=signed)
    return override(dataset, attributes)


def ct_series(n: int, **attributes: Any) -> list[Dataset]:
    """`n` CT slices of one series, 1.25 mm apart, sharing patient, study, series and frame.

    Takes the parameters of `ct_slice`; ``seed`` counts up from the one given.
    """
    shared: dict[str, Any] = {
        "StudyInstanceUID": generate_uid(),
        "SeriesInstanceUID": generate_uid(),
        "FrameOfReferenceUID": generate_uid(),
    } | attributes
    seed = int(shared.pop("seed", 0))
    numbered = ({"InstanceNumber": i + 1} | shared for i in range(n))
    return [ct_slice(position=1.25 * i, seed=seed + i, **each) for i, each in enumerate(numbered)]


def dx_image(
    values: NDArray[Any] | None = None,
    *,
    kind: Kind = "dx",
    size: tuple[int, int] = (96, 80),
    photometric: str = "MONOCHROME2",
    bits_allocated: int = 16,
    bits_stored: int = 12,
    signed: bool = False,
    seed: int = 0,
    transfer_syntax: str = ExplicitVRLittleEndian,
    **attributes: Any,
) -> Dataset:
    """One radiograph of the given kind; `values` are stored integers ``[H, W]``."""
    sop_class, modality = _SOP_CLASSES[kind]
    dataset = header(sop_class, modality, transfer_syntax)
    dataset.ImageType = ["ORIGINAL", "PRIMARY"]
    dataset.BodyPartExamined = "BREAST" if modality == "MG" else "CHEST"
    processing = kind.endswith("processing")
    if modality in ("DX", "MG", "IO"):
        dx_modules(dataset, modality, processing, photometric)
    elif modality == "CR":
        dataset.ViewPosition = "PA"
        dataset.ImagerPixelSpacing = [0.2, 0.2]
    else:
        dataset.ImageType = ["ORIGINAL", "PRIMARY", "SINGLE PLANE"]
        dataset.RadiationSetting = "GR"
        dataset.KVP = "80"
        dataset.XRayTubeCurrent = 300
        dataset.ExposureTime = 8
        dataset.PixelIntensityRelationship = "LIN" if modality == "XA" else "DISP"
        dataset.PositionerPrimaryAngle = "0"
        dataset.PositionerSecondaryAngle = "0"
        dataset.PositionerMotion = "STATIC"
        if modality == "RF":
            dataset.Exposure = 2
    if not processing:
        dataset.WindowCenter = [2 ** (bits_stored - 1)]
        dataset.WindowWidth = [2**bits_stored]
        if modality in ("DX", "MG", "IO"):
            dataset.WindowCenterWidthExplanation = ["NORMAL"]
    if values is None:
        top = 2 ** (bits_stored - 1) - 1 if signed else 2**bits_stored - 1
        values = np.clip(chest(size, seed) * top, 0, top)
    with_pixels(
        dataset,
        np.rint(values),
        bits_allocated,
        bits_stored,
        signed=signed,
        photometric=photometric,
    )
    return override(dataset, attributes)


def multiframe(
    frames: int = 3,
    *,
    size: tuple[int, int] = (48, 40),
    bits_stored: int = 10,
    seed: int = 0,
    transfer_syntax: str = ExplicitVRLittleEndian,
    **attributes: Any,
) -> Dataset:
    """An XA cine run of `frames` frames, unsigned, `bits_stored` of 16 bits."""
    top = 2**bits_stored - 1
    pixels = np.stack([chest(size, seed + i) * top for i in range(frames)])
    dataset = dx_image(
        kind="xa", size=size, bits_stored=bits_stored, transfer_syntax=transfer_syntax
    )
    dataset.FrameTime = "66.6"
    dataset.FrameIncrementPointer = 0x00181063
    with_pixels(dataset, np.rint(np.clip(pixels, 0, top)), 16, bits_stored, signed=False)
    return override(dataset, attributes)


def enhanced_ct(
    frames: int = 3,
    *,
    size: tuple[int, int] = (32, 32),
    slopes: tuple[float, ...] = (1.0,),
    intercepts: tuple[float, ...] = (-1024.0,),
    seed: int = 0,
    transfer_syntax: str = ExplicitVRLittleEndian,
    **attributes: Any,
) -> Dataset:
    """An enhanced multi-frame CT; one slope for all frames is shared, several are per frame."""
    dataset = header(EnhancedCTImageStorage, "CT", transfer_syntax)
    dataset.ImageType = ["DERIVED", "PRIMARY", "VOLUME", "NONE"]
    dataset.FrameOfReferenceUID = generate_uid()
    dataset.PositionReferenceIndicator = ""
    dataset.PatientPosition = "HFS"
    dataset.PixelPresentation = "MONOCHROME"
    dataset.VolumetricProperties = "VOLUME"
    dataset.VolumeBasedCalculationTechnique = "NONE"
    dataset.ContentQualification = "PRODUCT"
    dataset.AcquisitionDateTime = "20250102030405"
    dataset.AcquisitionDuration = 1.0
    dataset.BurnedInAnnotation = "NO"
    dataset.LossyImageCompression = "00"
    dataset.PresentationLUTShape = "IDENTITY"
    dataset.DimensionOrganizationSequence = [
        item(DimensionOrganizationUID=(organisation := generate_uid()))
    ]
    dataset.DimensionIndexSequence = [
        item(
            DimensionIndexPointer=0x00200032,
            FunctionalGroupPointer=0x00209113,
            DimensionOrganizationUID=organisation,
        )
    ]
    dataset.AcquisitionContextSequence = []
    per_frame_rescale = len(slopes) > 1 or len(intercepts) > 1
    shared = item(
        PixelMeasuresSequence=[item(PixelSpacing=[1, 1], SliceThickness=2)],
        PlaneOrientationSequence=[item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])],
        FrameAnatomySequence=[
            item(
                FrameLaterality="U",
                AnatomicRegionSequence=[
                    item(CodeValue="51185008", CodingSchemeDesignator="SCT", CodeMeaning="Chest")
                ],
            )
        ],
        IrradiationEventIdentificationSequence=[item(IrradiationEventUID=generate_uid())],
        FrameVOILUTSequence=[item(WindowCenter=[40], WindowWidth=[400])],
        CTImageFrameTypeSequence=[
            item(
                FrameType=["DERIVED", "PRIMARY", "VOLUME", "NONE"],
                PixelPresentation="MONOCHROME",
                VolumetricProperties="VOLUME",
                VolumeBasedCalculationTechnique="NONE",
            )
        ],
    )
    groups, pixels = [], []
    for i in range(frames):
        slope, intercept = slopes[i % len(slopes)], intercepts[i % len(intercepts)]
        pixels.append(clip(np.rint((disc(size, seed + i) - intercept) / slope), 16, False))
        group = item(
            FrameContentSequence=[
                item(
                    FrameAcquisitionNumber=1,
                    StackID="1",
                    InStackPositionNumber=i + 1,
                    DimensionIndexValues=[i + 1],
                    FrameReferenceDateTime="20250102030405",
                    FrameAcquisitionDateTime="20250102030405",
                    FrameAcquisitionDuration=1.0,
                )
            ],
            PlanePositionSequence=[item(ImagePositionPatient=[-16.0, -16.0, 2.0 * i])],
        )
        transformation = item(
            RescaleSlope=ds(slope), RescaleIntercept=ds(intercept), RescaleType="HU"
        )
        if per_frame_rescale:
            group.PixelValueTransformationSequence = [transformation]
        else:
            shared.PixelValueTransformationSequence = [transformation]
        groups.append(group)
    dataset.SharedFunctionalGroupsSequence = [shared]
    dataset.PerFrameFunctionalGroupsSequence = groups
    with_pixels(dataset, np.stack(pixels), 16, 16, signed=False)
    dataset.NumberOfFrames = frames
    return override(dataset, attributes)


def non_image(sop_class: str, modality: str, **attributes: Any) -> Dataset:
    """A data set without pixels, of any SOP class (a report, a presentation state)."""
    return override(header(UID(sop_class), modality, ExplicitVRLittleEndian), attributes)


def with_pixels(
    dataset: Dataset,
    stored: NDArray[Any],
    bits_allocated: int,
    bits_stored: int,
    *,
    signed: bool,
    photometric: str = "MONOCHROME2",
) -> Dataset:
    """Put ``[H, W]`` or ``[N, H, W]`` integers into `dataset` with its image pixel module."""
    big = dataset.file_meta.TransferSyntaxUID == ExplicitVRBigEndian
    kind = f"{'>' if big else '<'}{'i' if signed else 'u'}{bits_allocated // 8}"
    pixels = np.asarray(stored).astype(np.int64)
    mask = 2**bits_stored - 1
    if bits_stored < bits_allocated and signed:
        pixels &= mask  # the sign bit is BitsStored - 1; what lies above it is not part of it
    raw = pixels.astype(kind.replace("i", "u")).tobytes()
    if bits_allocated == 8 and big:
        raw = pixels.astype("u1").tobytes()
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = photometric
    dataset.Rows, dataset.Columns = pixels.shape[-2:]
    if pixels.ndim == 3:
        dataset.NumberOfFrames = pixels.shape[0]
    dataset.BitsAllocated = bits_allocated
    dataset.BitsStored = bits_stored
    dataset.HighBit = bits_stored - 1
    dataset.PixelRepresentation = int(signed)
    dataset.PixelData = raw + b"\0" * (len(raw) % 2)
    dataset["PixelData"].VR = "OB" if bits_allocated == 8 else "OW"
    return dataset


def encapsulated(dataset: Dataset, frames: list[bytes], transfer_syntax: str) -> Dataset:
    """Replace the pixel data by `frames` already compressed under `transfer_syntax`."""
    dataset.file_meta.TransferSyntaxUID = UID(transfer_syntax)
    dataset.PixelData = encapsulate(frames)
    dataset["PixelData"].is_undefined_length = True
    return dataset


def to_bytes(dataset: Dataset) -> bytes:
    """Write the data set as a Part 10 file, without validating values."""
    buffer = BytesIO()
    mode = pydicom_config.settings.writing_validation_mode
    pydicom_config.settings.writing_validation_mode = pydicom_config.IGNORE
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dcmwrite(buffer, dataset, enforce_file_format=True)
    finally:
        pydicom_config.settings.writing_validation_mode = mode
    return buffer.getvalue()


def write(dataset: Dataset, path: Path) -> Path:
    """Write the data set as a Part 10 file; a folder gets ``<SOP Instance UID>.dcm``."""
    target = path / f"{dataset.SOPInstanceUID}.dcm" if path.is_dir() else path
    target.write_bytes(to_bytes(dataset))
    return target


# re-exported so that tests need not import pydicom for the common syntaxes
IMPLICIT, EXPLICIT, BIG = ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian

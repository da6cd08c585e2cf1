"""A synthetic study for when no published image can be had: a CT series and a radiograph.

Shapes are ellipses and ellipsoids with the attenuation of tissue. CT noise has the spectrum of
filtered back projection (ramp times apodisation, Riederer et al., Phys Med Biol 1978) and grows
towards the centre of the body; radiograph noise is Poisson in quanta plus electronic noise.
"""
# ruff: noqa: PLR2004, PLR0917 -- a phantom is a list of positions, sizes and values

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    CTImageStorage,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    generate_uid,
)

Plane = npt.NDArray[np.floating[Any]]

TITLES = {
    "ct": "Synthetic CT phantom, 24 slices of 3 mm with filtered-back-projection noise",
    "dx": "Synthetic digital radiograph phantom, 2048 x 2500, with quantum noise",
}
CT_SLICES = 24
CT_SIZE = 512
CT_PIXEL_MM = 0.75
CT_STEP_MM = 3.0
DX_ROWS, DX_COLUMNS = 2500, 2048
DX_PIXEL_MM = 0.148
DX_BORDER = 48

_DATE = "20250101"
_SOFT_PER_CM, _LUNG_PER_CM, _BONE_PER_CM = 0.20, 0.055, 0.48


def ct_series(seed: int = 1) -> Iterator[Dataset]:
    """Yield the slices of a noisy chest phantom, head to foot.

    Parameters
    ----------
    seed : int
        The same seed gives the same objects, UIDs included.

    Yields
    ------
    Dataset
        CT Image Storage, 512 x 512, 12 bits stored, rescale intercept -1024 HU.
    """
    random = np.random.default_rng(seed)
    vessels = _vessels(random)
    previous = _coloured_noise(random)
    for index in range(CT_SLICES):
        ideal, body = ct_plane(index, vessels)
        fresh = _coloured_noise(random)
        noise = (0.35 * previous + fresh) / np.hypot(0.35, 1.0)
        previous = fresh
        hu = _smooth(ideal) + _noise_sd(body) * noise
        stored = np.clip(np.rint(hu) + 1024, 0, 4095).astype("<u2")
        yield _ct_object(stored, index, seed)


def radiograph(seed: int = 1) -> Iterator[Dataset]:
    """Yield one noisy chest radiograph, 2500 x 2048, 12 bits, collimated border of zeros.

    Parameters
    ----------
    seed : int
        The same seed gives the same object, UIDs included.
    """
    random = np.random.default_rng(seed + 1000)
    quanta_open, electronic = 30_000.0, 6.0
    path = dx_path()
    scatter = 0.004 * quanta_open
    expected = (quanta_open * np.exp(-path) + scatter).astype(np.float32)
    counts = random.poisson(_blur(expected, 2)).astype(np.float32)
    counts += random.normal(0.0, electronic, counts.shape).astype(np.float32)
    density = -np.log(np.maximum(_blur(counts, 1), 1.0) / quanta_open)
    stored = np.clip(np.rint(density / 5.6 * 4095), 1, 4095).astype("<u2")
    stored[:DX_BORDER] = stored[-DX_BORDER:] = 0
    stored[:, :DX_BORDER] = stored[:, -DX_BORDER:] = 0
    yield _dx_object(stored, seed)


def ct_plane(index: int, vessels: npt.NDArray[np.float64]) -> tuple[Plane, Plane]:
    """Return one noise-free slice in HU and its body mask, both ``[512, 512]`` float32.

    Parameters
    ----------
    index : int
        Slice, 0 to 23.
    vessels : numpy.ndarray
        ``[n, 5]``: x, y, radius in mm; drift of x and y in mm per slice.
    """
    z = (index - CT_SLICES / 2) / (CT_SLICES / 2)
    plane = np.full((CT_SIZE, CT_SIZE), -1000.0, np.float32)
    x, y = _grid()

    def fill(cx: float, cy: float, rx: float, ry: float, hu: float, tilt: float = 0.0) -> None:
        box = np.s_[_span(cy, max(rx, ry)), _span(cx, max(rx, ry))]
        plane[box][_ellipse(x[:, box[1]], y[box[0]], cx, cy, rx, ry, tilt)] = hu

    fill(0, 6, 168, 112, -95)  # fat
    body = (plane > -900).astype(np.float32)
    fill(0, 6, 158, 102, 52)  # muscle
    fill(0, 4, 140, 88, -80)  # fat inside the chest wall
    lung = 1.0 - 0.18 * z
    fill(-70, 2, 58 * lung, 76 * lung, -860, 6)
    fill(72, 2, 54 * lung, 76 * lung, -860, -6)
    inside = _ellipse(x, y, -70, 2, 54 * lung, 72 * lung, 6)
    inside |= _ellipse(x, y, 72, 2, 50 * lung, 72 * lung, -6)
    for vx, vy, radius, dx, dy in vessels:
        cx, cy = vx + dx * index, vy + dy * index
        box = np.s_[_span(cy, radius), _span(cx, radius)]
        disc = _ellipse(x[:, box[1]], y[box[0]], cx, cy, radius, radius)
        plane[box][disc & inside[box]] = 35
    fill(16, -22, 50 + 8 * z, 40 + 6 * z, 42, 18)  # heart
    fill(20, -16, 24, 17, 62, 18)
    fill(-16, -30, 15, 13, 58)  # vena cava and ascending aorta
    fill(20, 48, 12, 12, 58)  # descending aorta
    fill(2, 34, 7, 6, 28)  # oesophagus
    for number, (angle, contrast) in enumerate(
        zip(range(0, 360, 60), (40, 20, 10, -40, -20, -10), strict=True)
    ):
        cx = 16 + 30 * np.cos(np.deg2rad(angle + 18))
        cy = -24 + 24 * np.sin(np.deg2rad(angle + 18))
        radius = 2.5 + number % 3
        fill(cx, cy, radius, radius, 42 + contrast)
    fill(0, 66, 19, 16, 320)  # vertebral body
    fill(0, 66, 16, 13, 170)
    fill(0, 88, 9, 9, 420)
    fill(0, 87, 6, 6, 25)  # spinal canal
    fill(0, -90, 20, 7, 260)  # sternum
    fill(0, -90, 17, 4, 90)
    for number in range(12):
        angle = np.deg2rad(number * 30 + 9 * np.sin(index / 3) + index * 2.4)
        cx, cy = 148 * np.cos(angle), 6 + 94 * np.sin(angle)
        tilt = float(np.rad2deg(angle)) + 90
        fill(cx, cy, 15, 5, 520, tilt)
        fill(cx, cy, 12, 2.4, 180, tilt)
    nodule = max(0.0, 5.0 - abs(index - 12) * 0.8)
    if nodule:
        fill(-62, 24, nodule, nodule, 20)
    fill(0, 142, 190, 10, -140)  # table
    return plane, body


def dx_path() -> Plane:
    """Return the attenuation along each ray of a chest, ``[2500, 2048]`` float32, no unit."""
    y = ((np.arange(DX_ROWS, dtype=np.float32) - DX_ROWS / 2) * DX_PIXEL_MM / 10)[:, None]
    x = ((np.arange(DX_COLUMNS, dtype=np.float32) - DX_COLUMNS / 2) * DX_PIXEL_MM / 10)[None]

    def depth(cx: float, cy: float, rx: float, ry: float, rz: float) -> Plane:
        inside = 1.0 - ((x - cx) / rx) ** 2 - ((y - cy) / ry) ** 2
        return (2 * rz * np.sqrt(np.maximum(inside, 0.0))).astype(np.float32)

    body = depth(0, 6, 16.5, 29, 8.5)
    shoulders = np.maximum(depth(-11, -14, 7, 6, 4.5), depth(11, -14, 7, 6, 4.5))
    right = depth(-6.4, -1.5, 4.8, 11.5, 6.2)
    left = depth(6.6, -1.5, 4.4, 11.0, 6.2)
    path = _SOFT_PER_CM * np.maximum(body, shoulders)
    path -= (_SOFT_PER_CM - _LUNG_PER_CM) * np.minimum(right + left, body)
    path += _SOFT_PER_CM * 0.45 * depth(2.6, 4.2, 5.2, 4.8, 4.2)  # heart
    path += _SOFT_PER_CM * 0.5 * depth(-6, 12.5, 8, 5, 4)  # liver dome
    path += (_BONE_PER_CM - _SOFT_PER_CM) * depth(0, 0, 1.7, 24, 0.9)  # spine
    discs = 0.5 + 0.5 * np.cos(y * 2 * np.pi / 2.6)
    path += 0.22 * discs * (np.abs(x) < 1.6) * (depth(0, 0, 1.7, 24, 0.9) > 0)
    for rib in range(10):
        for side in (-1.0, 1.0):
            across = side * x - 1.2
            centre = -13.5 + rib * 2.35 + 0.045 * (across - 2.0) ** 2
            width = 0.42 + 0.02 * rib
            edge = 1.0 - ((y - centre) / width) ** 2
            chest = (across > 0) & (across < 10.5 + 0.25 * rib)
            path += 0.30 * np.sqrt(np.maximum(edge, 0.0)) * chest
    for side in (-1.0, 1.0):  # clavicles
        line = y + 13.2 + 0.28 * side * x
        edge = 1.0 - (line / 0.55) ** 2
        path += 0.42 * np.sqrt(np.maximum(edge, 0.0)) * ((side * x > 1.5) & (side * x < 11))
    for number in range(60):
        _add_vessel(path, x, y, number)
    path += 0.12 * np.sqrt(np.maximum(0.0, 1 - ((x + 8) / 0.6) ** 2 - ((y - 2) / 0.6) ** 2))
    return path.astype(np.float32)


def _add_vessel(path: Plane, x: Plane, y: Plane, number: int) -> None:
    """Add one lung vessel that fans out from the hilum of its side, in place."""
    side = -1.0 if number % 2 else 1.0
    rows = np.flatnonzero(np.abs(y[:, 0] + 1.0) < 9)
    columns = np.flatnonzero((side * x[0] > 2.2) & (side * x[0] < 10.5))
    box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    angle = np.deg2rad(-80 + 160 * ((number * 0.618) % 1.0))
    across, along = side * x[:, box[1]] - 2.2, y[box[0]] + 1.0
    reach = across * np.cos(angle) + along * np.sin(angle)
    off = -across * np.sin(angle) + along * np.cos(angle) - 0.04 * reach**2 * np.sin(number)
    width = np.maximum(0.36 - 0.04 * reach, 0.04)
    edge = 1.0 - (off / width) ** 2
    near = np.clip(reach / 1.5, 0, 1) * (reach < 7.5)
    path[box] += 0.09 * width / 0.2 * np.sqrt(np.maximum(edge, 0.0)) * near


def _vessels(random: np.random.Generator) -> npt.NDArray[np.float64]:
    count = 150
    side = np.where(np.arange(count) % 2, 70.0, -70.0)
    return np.column_stack(
        [
            side + random.normal(0, 26, count),
            2 + random.normal(0, 32, count),
            0.9 + random.exponential(1.1, count),
            random.normal(0, 0.35, count),
            random.normal(0, 0.35, count),
        ]
    )


def _grid() -> tuple[Plane, Plane]:
    axis = ((np.arange(CT_SIZE) - (CT_SIZE - 1) / 2) * CT_PIXEL_MM).astype(np.float32)
    return axis[None, :], axis[:, None]


def _span(centre_mm: float, reach_mm: float) -> slice:
    """Pixels within `reach_mm` of a position on one axis."""
    middle = centre_mm / CT_PIXEL_MM + (CT_SIZE - 1) / 2
    reach = reach_mm / CT_PIXEL_MM + 2
    return slice(max(0, int(middle - reach)), max(0, int(middle + reach) + 1))


def _ellipse(
    x: Plane, y: Plane, cx: float, cy: float, rx: float, ry: float, tilt: float = 0.0
) -> npt.NDArray[np.bool_]:
    angle = np.deg2rad(tilt)
    u = (x - cx) * np.cos(angle) + (y - cy) * np.sin(angle)
    v = -(x - cx) * np.sin(angle) + (y - cy) * np.cos(angle)
    inside: npt.NDArray[np.bool_] = (u / rx) ** 2 + (v / ry) ** 2 <= 1.0
    return inside


def _frequency() -> Plane:
    """Radial frequency as a fraction of Nyquist, ``[512, 257]``."""
    fy = np.fft.fftfreq(CT_SIZE)[:, None] * 2
    fx = np.fft.rfftfreq(CT_SIZE)[None] * 2
    frequency: Plane = np.hypot(fx, fy).astype(np.float32)
    return frequency


def _smooth(plane: Plane) -> Plane:
    transfer = np.exp(-1.4 * _frequency() ** 2)
    smooth: Plane = np.fft.irfft2(np.fft.rfft2(plane) * transfer, plane.shape).astype(np.float32)
    return smooth


def _coloured_noise(random: np.random.Generator) -> Plane:
    f = np.minimum(_frequency(), 1.0)
    transfer = np.sqrt(f + 0.01) * (0.5 + 0.5 * np.cos(np.pi * f))
    white = random.normal(size=(CT_SIZE, CT_SIZE))
    noise = np.fft.irfft2(np.fft.rfft2(white) * transfer, white.shape)
    unit: Plane = (noise / noise.std()).astype(np.float32)
    return unit


def _noise_sd(body: Plane) -> Plane:
    """Noise in HU: 6 outside the body, about 15 at its edge and 28 at its centre."""
    x, y = _grid()
    inside = np.maximum(0.0, 1.0 - (x / 175) ** 2 - ((y - 6) / 120) ** 2)
    sd: Plane = (6 + body * (8 + 15 * inside)).astype(np.float32)
    return sd


def _blur(plane: Plane, times: int) -> Plane:
    """Apply the 3 x 3 binomial kernel, the footprint of a detector element and its neighbours."""
    for _ in range(times):
        for axis in (0, 1):
            before = np.roll(plane, 1, axis)
            before += np.roll(plane, -1, axis)
            plane = 0.5 * plane + 0.25 * before
    return plane


def _uid(*parts: Any) -> str:
    return str(generate_uid(entropy_srcs=["dicom-node phantom", *map(str, parts)]))


def _common(modality: str, sop_class: str, seed: int, number: int) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID = sop_class
    dataset.SOPInstanceUID = _uid(modality, seed, number)
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.StudyInstanceUID = _uid(modality, seed, "study")
    dataset.SeriesInstanceUID = _uid(modality, seed, "series")
    dataset.Modality = modality
    dataset.Manufacturer = "Synthetic phantom"
    dataset.PatientName = "Demo^Phantom"
    dataset.PatientID = "DICOM-NODE-DEMO-PHANTOM"
    dataset.PatientBirthDate = ""
    dataset.PatientSex = "O"
    dataset.ReferringPhysicianName = ""
    dataset.AccessionNumber = ""
    dataset.StudyID = "DEMO"
    dataset.StudyDescription = "Demonstration phantom"
    dataset.StudyDate = dataset.SeriesDate = dataset.ContentDate = dataset.AcquisitionDate = _DATE
    dataset.StudyTime = dataset.SeriesTime = dataset.ContentTime = "120000"
    dataset.AcquisitionTime = "120000"
    dataset.BodyPartExamined = "CHEST"
    dataset.SeriesNumber = 1
    dataset.InstanceNumber = number
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelRepresentation = 0
    dataset.BurnedInAnnotation = "NO"
    return dataset


def _ct_object(stored: npt.NDArray[np.uint16], index: int, seed: int) -> Dataset:
    dataset = _common("CT", CTImageStorage, seed, index + 1)
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.SeriesDescription = "Phantom 3 mm"
    dataset.FrameOfReferenceUID = _uid("CT", seed, "frame")
    dataset.PositionReferenceIndicator = ""
    half = (CT_SIZE - 1) / 2 * CT_PIXEL_MM
    z = round(100.0 - index * CT_STEP_MM, 3)
    dataset.ImagePositionPatient = [-half, -half, z]
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    dataset.SliceLocation = z
    dataset.SliceThickness = CT_STEP_MM
    dataset.PixelSpacing = [CT_PIXEL_MM, CT_PIXEL_MM]
    dataset.PatientPosition = "HFS"
    dataset.KVP = 120
    dataset.AcquisitionNumber = 1
    dataset.ConvolutionKernel = "HANN"
    dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = -1024, 1, "HU"
    dataset.WindowCenter, dataset.WindowWidth = 40, 400
    dataset.Rows, dataset.Columns = stored.shape
    dataset.add_new("PixelData", "OW", stored.tobytes())
    return dataset


def _dx_object(stored: npt.NDArray[np.uint16], seed: int) -> Dataset:
    dataset = _common("DX", DigitalXRayImageStorageForPresentation, seed, 1)
    dataset.ImageType = ["ORIGINAL", "PRIMARY", ""]
    dataset.PresentationIntentType = "FOR PRESENTATION"
    dataset.SeriesDescription = "Phantom chest"
    dataset.PatientOrientation = ["L", "F"]
    dataset.ViewPosition = "PA"
    dataset.ImageLaterality = "U"
    region = Dataset()
    region.CodeValue, region.CodingSchemeDesignator = "51185008", "SCT"
    region.CodeMeaning = "Chest"
    dataset.AnatomicRegionSequence = Sequence([region])
    dataset.AcquisitionContextSequence = Sequence([])
    dataset.DetectorType = "SCINTILLATOR"
    dataset.ImagerPixelSpacing = [DX_PIXEL_MM, DX_PIXEL_MM]
    dataset.PixelIntensityRelationship = "LOG"
    dataset.PixelIntensityRelationshipSign = -1
    dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = 0, 1, "US"
    dataset.WindowCenter, dataset.WindowWidth = 2000, 3400
    dataset.PresentationLUTShape = "IDENTITY"
    dataset.LossyImageCompression = "00"
    dataset.Rows, dataset.Columns = stored.shape
    dataset.add_new("PixelData", "OW", stored.tobytes())
    return dataset

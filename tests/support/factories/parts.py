"""What synthetic DICOM objects are made of: headers, modules, and pictures."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, generate_uid


def disc(size: tuple[int, int], seed: int = 0) -> NDArray[np.float64]:
    """``[H, W]`` HU: a disc of 40 HU in air of -1000 HU, with 20 HU of noise."""
    rows, columns = size
    y, x = np.mgrid[0:rows, 0:columns]
    inside = (2 * y / max(rows, 2) - 1) ** 2 + (2 * x / max(columns, 2) - 1) ** 2 < 0.7
    noise = np.random.default_rng(seed).normal(0, 20, size)
    return np.where(inside, 40.0, -1000.0) + noise


def chest(size: tuple[int, int], seed: int = 0) -> NDArray[np.float64]:
    """``[H, W]`` in 0 to 1: a smooth bright-in-the-middle radiograph with noise."""
    rows, columns = size
    y = np.sin(np.pi * (np.arange(rows) + 0.5) / rows)[:, None]
    x = np.abs(np.cos(2 * np.pi * (np.arange(columns) + 0.5) / columns))[None, :]
    noise = np.random.default_rng(seed).normal(0, 0.02, size)
    return np.clip(0.1 + 0.6 * y * (0.4 + 0.6 * x) + noise, 0.0, 1.0)


def header(sop_class: UID, modality: str, transfer_syntax: str) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = UID(transfer_syntax)
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.SOPClassUID = sop_class
    dataset.SOPInstanceUID = generate_uid()
    dataset.StudyDate = dataset.SeriesDate = dataset.AcquisitionDate = "20250102"
    dataset.ContentDate = dataset.InstanceCreationDate = "20250102"
    dataset.StudyTime = dataset.SeriesTime = dataset.AcquisitionTime = "030405"
    dataset.ContentTime = dataset.InstanceCreationTime = "030405"
    dataset.AccessionNumber = "ACC1"
    dataset.Modality = modality
    dataset.Manufacturer = "Phantom Works"
    dataset.ManufacturerModelName = "Synthetic"
    dataset.DeviceSerialNumber = "1"
    dataset.SoftwareVersions = "1"
    dataset.InstitutionName = "Hospital of the Tests"
    dataset.ReferringPhysicianName = ""
    dataset.StudyDescription = "Phantom"
    dataset.SeriesDescription = "Synthetic"
    dataset.PatientName = "Phantom^Ada"
    dataset.PatientID = "PHANTOM-1"
    dataset.PatientBirthDate = "19800101"
    dataset.PatientSex = "O"
    dataset.StudyInstanceUID = generate_uid()
    dataset.SeriesInstanceUID = generate_uid()
    dataset.StudyID = "1"
    dataset.SeriesNumber = 2
    dataset.InstanceNumber = 1
    dataset.PatientOrientation = ["L", "P"] if modality == "CT" else ["L", "F"]
    return dataset


def dx_modules(dataset: Dataset, modality: str, processing: bool, photometric: str) -> None:
    dataset.PresentationIntentType = "FOR PROCESSING" if processing else "FOR PRESENTATION"
    dataset.ImageLaterality = "R" if modality == "MG" else "U"
    dataset.ImagerPixelSpacing = [0.15, 0.15]
    dataset.PixelIntensityRelationship = "LIN" if processing else "LOG"
    dataset.PixelIntensityRelationshipSign = 1
    dataset.RescaleIntercept = 0
    dataset.RescaleSlope = 1
    dataset.RescaleType = "US"
    dataset.PresentationLUTShape = "INVERSE" if photometric == "MONOCHROME1" else "IDENTITY"
    dataset.LossyImageCompression = "00"
    dataset.BurnedInAnnotation = "NO"
    dataset.DetectorType = "SCINTILLATOR"
    dataset.AcquisitionContextSequence = []
    region = ("76752008", "Breast") if modality == "MG" else ("51185008", "Chest")
    if modality == "IO":
        region = ("39789004", "Mandible")
    dataset.AnatomicRegionSequence = [
        item(CodeValue=region[0], CodingSchemeDesignator="SCT", CodeMeaning=region[1])
    ]
    if modality == "IO":
        dataset.ImageLaterality = "B"
        dataset.PositionerType = "NONE"
        dataset.PrimaryAnatomicStructureSequence = [
            item(CodeValue="38199008", CodingSchemeDesignator="SCT", CodeMeaning="Tooth")
        ]
    if modality == "MG":
        dataset.PositionerType = "MAMMOGRAPHIC"
        dataset.OrganExposed = "BREAST"
        dataset.BreastImplantPresent = "NO"
        dataset.PartialView = "NO"
        dataset.ViewCodeSequence = [
            item(
                CodeValue="399162004",
                CodingSchemeDesignator="SCT",
                CodeMeaning="cranio-caudal",
                ViewModifierCodeSequence=[],
            )
        ]


def clip(values: NDArray[Any], bits_stored: int, signed: bool) -> NDArray[Any]:
    low = -(2 ** (bits_stored - 1)) if signed else 0
    high = 2 ** (bits_stored - 1) - 1 if signed else 2**bits_stored - 1
    return np.clip(values, low, high)


def item(**attributes: Any) -> Dataset:
    item = Dataset()
    for keyword, value in attributes.items():
        setattr(item, keyword, value)
    return item


def ds(value: float) -> str:
    return f"{value:.10g}"[:16]


def override(dataset: Dataset, attributes: dict[str, Any]) -> Dataset:
    for keyword, value in attributes.items():
        if value is None:
            if keyword in dataset:
                delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    dataset.file_meta.MediaStorageSOPClassUID = dataset.get("SOPClassUID", "")
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.get("SOPInstanceUID", "")
    return dataset

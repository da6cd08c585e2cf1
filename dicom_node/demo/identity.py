"""Replace the identity in a published image whose header names people."""

from __future__ import annotations

from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

KEPT = (
    "SpecificCharacterSet", "ImageType", "SOPClassUID", "StudyDate", "SeriesDate",
    "AcquisitionDate", "ContentDate", "StudyTime", "SeriesTime", "AcquisitionTime", "ContentTime",
    "Modality", "PresentationIntentType", "Manufacturer", "AnatomicRegionSequence",
    "BodyPartExamined", "SeriesDescription", "PatientOrientation", "ViewPosition",
    "ViewCodeSequence", "ImageLaterality", "PatientSpeciesDescription",
    "AcquisitionContextSequence", "ImagerPixelSpacing", "PixelSpacing", "DetectorType",
    "DetectorDescription", "DetectorActiveShape", "ManufacturerModelName", "SoftwareVersions",
    "KVP", "Exposure", "ExposureTime", "XRayTubeCurrent", "ExposureIndex", "TargetExposureIndex",
    "DeviationIndex", "SeriesNumber", "InstanceNumber", "SamplesPerPixel",
    "PhotometricInterpretation", "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit",
    "PixelRepresentation", "PixelIntensityRelationship", "PixelIntensityRelationshipSign",
    "WindowCenter", "WindowWidth", "RescaleIntercept", "RescaleSlope", "RescaleType",
    "BurnedInAnnotation", "LossyImageCompression", "PresentationLUTShape", "PixelPaddingValue",
    "PixelPaddingRangeLimit", "PixelData",
)  # fmt: skip
"""Attributes that describe the pixels, not a person or a place."""


def rewritten(dataset: Dataset) -> Dataset:
    """Return a new object with the pixels of `dataset`, a made-up patient, and new UIDs.

    The UIDs are derived from the published ones, so that every run sends the same objects. The
    attributes follow PS3.15 Annex E in spirit: kept by list, everything else is dropped.
    """
    new = Dataset()
    for keyword in KEPT:
        if keyword in dataset:
            new.add(dataset[keyword])
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        new.add_new(keyword, "UI", _derived(str(dataset[keyword].value)))
    new.PatientName = "Demo^Radiograph"
    new.PatientID = "DICOM-NODE-DEMO-DX"
    new.PatientBirthDate = ""
    new.PatientSex = "O"
    new.ReferringPhysicianName = ""
    new.AccessionNumber = ""
    new.StudyID = "DEMO"
    new.StudyDescription = "Demonstration radiograph"
    new.PatientIdentityRemoved = "YES"
    new.DeidentificationMethod = "Kept by list: pixels and what describes them; UIDs replaced"
    new.file_meta = FileMetaDataset()
    new.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    new.file_meta.MediaStorageSOPClassUID = new.SOPClassUID
    new.file_meta.MediaStorageSOPInstanceUID = new.SOPInstanceUID
    return new


def _derived(uid: str) -> str:
    return str(generate_uid(entropy_srcs=["dicom-node demo", uid]))

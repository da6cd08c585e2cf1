"""People whom a published header names are not sent on."""

from __future__ import annotations

from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian

from dicom_node.demo.identity import rewritten
from dicom_node.routing import eligibility

PEOPLE = {
    "PatientName": "Secret^Person",
    "PatientID": "SECRET-1",
    "PatientBirthDate": "19010203",
    "OperatorsName": "Secret^Operator",
    "PerformingPhysicianName": "Secret^Physician",
    "InstitutionName": "Secret Hospital",
    "InstitutionAddress": "Secret Road 1",
    "AccessionNumber": "SECRET-2",
    "DeviceSerialNumber": "SECRET-3",
    "StationName": "SECRET-4",
    "StudyID": "SECRET-5",
}


def published() -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = DigitalXRayImageStorageForPresentation
    dataset.SOPInstanceUID, dataset.SeriesInstanceUID = "1.2.3.1", "1.2.3.2"
    dataset.StudyInstanceUID = "1.2.3.3"
    dataset.Modality = "DX"
    dataset.Rows = dataset.Columns = 2
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelRepresentation = 0
    dataset.add_new("PixelData", "OW", bytes(range(8)))
    for keyword, value in PEOPLE.items():
        setattr(dataset, keyword, value)
    block = dataset.private_block(0x0019, "VENDOR", create=True)
    block.add_new(1, "LO", "Secret private")
    return dataset


def test_nobody_is_named_any_more() -> None:
    text = str(rewritten(published())).lower()
    assert "secret" not in text
    assert "1901" not in text


def test_pixels_stay_and_uids_are_new_but_the_same_every_time() -> None:
    before, first, second = published(), rewritten(published()), rewritten(published())
    assert first.PixelData == before.PixelData
    assert (first.Rows, first.BitsStored) == (2, 12)
    for keyword in ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID"):
        assert first[keyword].value != before[keyword].value
        assert first[keyword].value == second[keyword].value
    assert first.file_meta.MediaStorageSOPInstanceUID == first.SOPInstanceUID


def test_it_is_still_an_image_to_denoise() -> None:
    assert eligibility.check(rewritten(published())).units == "stored"

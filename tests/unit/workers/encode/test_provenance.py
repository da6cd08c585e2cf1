"""What every result says of itself and of where it comes from, attribute by attribute."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from io import BytesIO
from pathlib import Path
from typing import Any, get_args
from zoneinfo import ZoneInfo

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset, FileDataset
from pydicom.uid import UID

from dicom_node.errors import EncodeError
from tests.support.factories import ct_slice, to_bytes, write
from tests.support.factories.results import MODEL, result_spec
from workers.encode import Form, encode
from workers.load import load

FORMS = get_args(Form)
CT = "1.2.840.10008.5.1.4.1.1.2"


def result_of(folder: Path, image: Dataset | None = None, **spec: Any) -> FileDataset:
    source = load(write(ct_slice(size=(4, 4)) if image is None else image, folder))
    return dcmread(BytesIO(encode(source, [source.frames[0].values], result_spec(**spec)).data))


def said(dataset: Dataset) -> dict[str, Any]:
    """Keyword to value, items in lists of the same."""
    return {
        element.keyword: [said(item) for item in element.value]
        if element.VR == "SQ"
        else element.value
        for element in dataset
    }


@pytest.mark.parametrize("form", FORMS)
class TestEveryForm:
    def test_points_to_its_source(self, tmp_path: Path, form: str) -> None:
        image = ct_slice(size=(4, 4), SOPInstanceUID="1.2.4.1", SeriesInstanceUID="1.2.4")
        result = result_of(tmp_path, image, form=form)
        instance = {"ReferencedSOPClassUID": CT, "ReferencedSOPInstanceUID": "1.2.4.1"}
        purpose = {
            "CodeValue": "121322", "CodingSchemeDesignator": "DCM",
            "CodeMeaning": "Source image for image processing operation",
        }  # fmt: skip
        assert [said(item) for item in result.SourceImageSequence] == [
            {
                **instance, "SpatialLocationsPreserved": "YES",
                "PurposeOfReferenceCodeSequence": [purpose],
            }
        ]  # fmt: skip
        assert [said(item) for item in result.ReferencedSeriesSequence] == [
            {"SeriesInstanceUID": "1.2.4", "ReferencedInstanceSequence": [instance]}
        ]
        assert [said(item) for item in result.DerivationCodeSequence] == [
            {"CodeValue": "113087", "CodingSchemeDesignator": "DCM", "CodeMeaning": "Smoothing"}
        ]

    def test_says_who_made_it_and_how(self, tmp_path: Path, form: str) -> None:
        result = result_of(tmp_path, form=form)
        assert [said(item) for item in result.ContributingEquipmentSequence] == [
            {
                "PurposeOfReferenceCodeSequence": [
                    {
                        "CodeValue": "109103", "CodingSchemeDesignator": "DCM",
                        "CodeMeaning": "Modifying Equipment",
                    }
                ],
                "Manufacturer": "dicom-node",
                "ManufacturerModelName": "dicom-node",
                "InstitutionName": "Hospital of the Tests",
                "DeviceSerialNumber": "node-1",
                "SoftwareVersions": ["0.1.0", MODEL.sha256, "drl-ct@1.2.3"],
                "ContributionDateTime": "20260102030405+0000",
                "ContributionDescription": f"Denoised by model drl-ct@1.2.3, sha256 {MODEL.sha256},"
                " strength 0.7, engine torch reference f32, route ct.",
            }
        ]  # fmt: skip

    def test_is_a_new_instance_of_a_new_series(self, tmp_path: Path, form: str) -> None:
        image = ct_slice(size=(4, 4), InstanceCreatorUID="1.2.3.4", SeriesDescription="Axial")
        result = result_of(tmp_path, image, form=form, series_description="  Axial denoised ")
        assert result.SOPInstanceUID == result.file_meta.MediaStorageSOPInstanceUID == "2.25.1001"
        assert result.SOPClassUID == result.file_meta.MediaStorageSOPClassUID
        assert result.SeriesInstanceUID == "2.25.1002"
        assert result.SeriesNumber == 1002
        assert result.SeriesDescription == "Axial denoised"
        assert (result.InstanceCreationDate, result.InstanceCreationTime) == ("20260102", "030405")
        assert "InstanceCreatorUID" not in result, "another one made the source"

    def test_text_is_cut_to_what_its_kind_may_hold(self, tmp_path: Path, form: str) -> None:
        long = "0123456789" * 200
        result = result_of(
            tmp_path, form=form, series_description=long, derivation_description=long, route=long,
            institution_name=long, device_serial_number=long, software_version=long,
        )  # fmt: skip
        equipment = result.ContributingEquipmentSequence[0]
        assert result.SeriesDescription == long[:64]
        assert result.DerivationDescription == long[:1024]
        assert equipment.InstitutionName == long[:64]
        assert equipment.DeviceSerialNumber == long[:64]
        assert equipment.SoftwareVersions[0] == long[:64]
        assert len(equipment.ContributionDescription) == 1024

    def test_what_the_installation_does_not_say_is_left_out(
        self, tmp_path: Path, form: str
    ) -> None:
        result = result_of(tmp_path, form=form, institution_name="", device_serial_number="")
        equipment = result.ContributingEquipmentSequence[0]
        assert "InstitutionName" not in equipment
        assert "DeviceSerialNumber" not in equipment

    @pytest.mark.parametrize(
        ("zone", "written"),
        [
            (UTC, "20260702030405+0000"),
            (timezone(timedelta(hours=-5)), "20260702030405-0500"),
            (timezone(timedelta(hours=5, minutes=45)), "20260702030405+0545"),
            (ZoneInfo("Europe/Berlin"), "20260702030405+0200"),
        ],
    )
    def test_the_time_has_its_zone(
        self, tmp_path: Path, form: str, zone: Any, written: str
    ) -> None:
        at = datetime(2026, 7, 2, 3, 4, 5, tzinfo=zone)
        result = result_of(tmp_path, form=form, at=at)
        assert result.ContributingEquipmentSequence[0].ContributionDateTime == written

    @pytest.mark.parametrize("uid", ["", "not a UID", "1.2." + "3" * 61])
    def test_a_series_that_cannot_be_referred_to_is_not(
        self, tmp_path: Path, form: str, uid: str
    ) -> None:
        image = ct_slice(size=(4, 4))
        image.add_new("SeriesInstanceUID", "LT", uid)
        assert "ReferencedSeriesSequence" not in result_of(tmp_path, image, form=form)

    @pytest.mark.parametrize("keyword", ["SOPClassUID", "SOPInstanceUID"])
    def test_a_source_that_cannot_be_referred_to_is_an_error(
        self, tmp_path: Path, form: str, keyword: str
    ) -> None:
        image = ct_slice(size=(4, 4), RescaleType="HU")
        image.file_meta.MediaStorageSOPInstanceUID = UID("1.2.3")
        delattr(image, keyword)
        image.file_meta.MediaStorageSOPClassUID = UID(CT)
        path = tmp_path / "source.dcm"
        path.write_bytes(to_bytes(image))
        source = load(path)
        with pytest.raises(EncodeError, match="no valid SOP class and instance UID"):
            encode(source, [source.frames[0].values], result_spec(form=form))

    @pytest.mark.parametrize("uid", ["1.02.3", "9.9.9"])
    def test_zeros_that_scanners_write_are_let_through(
        self, tmp_path: Path, form: str, uid: str
    ) -> None:
        result = result_of(tmp_path, ct_slice(size=(4, 4), SOPInstanceUID=uid), form=form)
        assert result.SourceImageSequence[0].ReferencedSOPInstanceUID == uid

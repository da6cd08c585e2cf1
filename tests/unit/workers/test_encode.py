from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, timezone
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import config, dcmread
from pydicom.dataset import Dataset, FileDataset
from pydicom.uid import UID

from dicom_node.errors import EncodeError, FailItem, PassThrough
from dicom_node.routing.eligibility import check
from model_store.ref import ModelRef
from tests.support.factories import ct_slice, dx_image, enhanced_ct, multiframe, to_bytes, write
from tests.support.factories.results import MODEL, result_spec
from workers.encode import encode
from workers.load import Source, load

FORMS = ("secondary-capture", "secondary-capture-multiframe", "derived")
# fmt: off
CARRIED = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyInstanceUID",
    "StudyDate", "StudyID", "AccessionNumber", "FrameOfReferenceUID",
    "PositionReferenceIndicator", "ImagePositionPatient", "ImageOrientationPatient",
    "PixelSpacing", "SliceThickness", "SliceLocation", "InstanceNumber", "AcquisitionNumber",
    "Modality", "RescaleSlope", "RescaleIntercept", "RescaleType", "WindowCenter",
    "WindowWidth", "PhotometricInterpretation", "BitsAllocated", "BitsStored", "HighBit",
    "PixelRepresentation", "KVP", "ConvolutionKernel", "PatientPosition", "SeriesDate",
    "SeriesTime",
)
# fmt: on
SC = "1.2.840.10008.5.1.4.1.1.7"
LONG_NAMED = ModelRef("a" * 63, "1.0.0", "cd" * 32)


def softened(source: Source) -> list[np.ndarray[Any, Any]]:
    return [frame.values * np.float32(0.9) + np.float32(1) for frame in source.frames]


def result_of(image: Dataset, folder: Path, **spec: Any) -> FileDataset:
    source = load(write(image, folder))
    return dcmread(BytesIO(encode(source, softened(source), result_spec(**spec)).data))


@contextmanager
def strict_reading() -> Iterator[None]:
    """Let pydicom raise on every value that it reads and that breaks a rule of its VR."""
    before = config.settings.reading_validation_mode
    config.settings.reading_validation_mode = config.RAISE
    try:
        yield
    finally:
        config.settings.reading_validation_mode = before


def reloaded(result: bytes, folder: Path) -> Source:
    path = folder / "result.dcm"
    path.write_bytes(result)
    return load(path)


class TestSecondaryCapture:
    def test_says_what_it_is_and_where_it_comes_from(self, tmp_path: Path) -> None:
        image = ct_slice(position=12.5, InstanceNumber=7)
        result = result_of(image, tmp_path)
        assert result.SOPClassUID == SC
        assert result.file_meta.MediaStorageSOPClassUID == SC
        assert result.SOPInstanceUID == "2.25.1001"
        assert result.SeriesInstanceUID == "2.25.1002"
        assert result.ConversionType == "WSD"
        assert list(result.ImageType) == ["DERIVED", "SECONDARY", "AXIAL"]
        assert result.SeriesNumber == 1002
        assert result.SeriesDescription == "Synthetic denoised"
        assert result.DerivationDescription == "Denoised by drl-ct@1.2.3"
        assert result.DerivationCodeSequence[0].CodeValue == "113087"
        origin = result.SourceImageSequence[0]
        assert origin.ReferencedSOPInstanceUID == image.SOPInstanceUID
        assert origin.ReferencedSOPClassUID == image.SOPClassUID
        assert origin.PurposeOfReferenceCodeSequence[0].CodeValue == "121322"
        equipment = result.ContributingEquipmentSequence[-1]
        assert equipment.ManufacturerModelName == "dicom-node"
        assert list(equipment.SoftwareVersions) == ["0.1.0", MODEL.sha256, str(MODEL)]
        assert equipment.PurposeOfReferenceCodeSequence[0].CodeValue == "109103"
        assert "strength 0.7" in equipment.ContributionDescription

    @pytest.mark.parametrize("software_version", ["0.1.0", "0.10.0"])
    @pytest.mark.parametrize("model", [MODEL, LONG_NAMED], ids=["short", "long"])
    @pytest.mark.parametrize("form", FORMS)
    def test_no_value_is_longer_than_strict_reading_allows(
        self, tmp_path: Path, form: str, model: ModelRef, software_version: str
    ) -> None:
        """Whether a blank makes its length even or not."""
        spec = {"form": form, "model": model, "software_version": software_version}
        with strict_reading(), warnings.catch_warnings():
            warnings.simplefilter("error")
            result = result_of(ct_slice(), tmp_path, **spec)
            read = [element.value for element in result.iterall()]
        assert read
        versions = list(result.ContributingEquipmentSequence[-1].SoftwareVersions)
        assert versions == [software_version, model.sha256, str(model)[:63]]

    def test_stacks_and_links_with_its_source(self, tmp_path: Path) -> None:
        image = ct_slice(position=12.5, InstanceNumber=7)
        result = result_of(image, tmp_path)
        for keyword in CARRIED:
            assert result[keyword].value == image[keyword].value, keyword

    def test_hounsfield_units_come_through(self, tmp_path: Path) -> None:
        source = load(write(ct_slice(bits_stored=12, intercept=-1024, signed=False), tmp_path))
        wanted = softened(source)[0]
        result = dcmread(BytesIO(encode(source, [wanted], result_spec()).data))
        hu = result.pixel_array * float(result.RescaleSlope) + float(result.RescaleIntercept)
        np.testing.assert_allclose(hu, wanted.clip(-1024, 3071), atol=0.501)

    def test_is_recognised_as_our_own(self, tmp_path: Path) -> None:
        for form in FORMS:
            with pytest.raises(PassThrough, match="own result"):
                check(result_of(ct_slice(), tmp_path, form=form))

    def test_pixels_of_monochrome1_stay_as_they_were(self, tmp_path: Path) -> None:
        image = dx_image(kind="cr", photometric="MONOCHROME1")
        source = load(write(image, tmp_path))
        data = encode(source, [f.values for f in source.frames], result_spec()).data
        result = dcmread(BytesIO(data))
        assert result.PhotometricInterpretation == "MONOCHROME1"
        assert result.PixelData == image.PixelData

    def test_private_attributes_stay_behind(self, tmp_path: Path) -> None:
        image = ct_slice()
        image.private_block(0x0029, "SECRET", create=True).add_new(1, "LO", "private")
        for form in FORMS:
            result = result_of(image, tmp_path, form=form)
            assert not [element for element in result.iterall() if element.tag.is_private]

    def test_a_narrow_voi_lut_is_widened(self, tmp_path: Path) -> None:
        lut = Dataset()
        lut.LUTDescriptor = [4, 0, 12]
        lut.LUTData = np.array([0, 1000, 2000, 4095], "<u2").tobytes()
        lut["LUTData"].VR = "OW"
        result = result_of(dx_image(VOILUTSequence=[lut]), tmp_path)
        item = result.VOILUTSequence[0]
        assert list(item.LUTDescriptor) == [4, 0, 16]
        np.testing.assert_array_equal(np.frombuffer(item.LUTData, "<u2"), [0, 16004, 32007, 65535])

    def test_an_animal_has_a_breed_though_unknown(self, tmp_path: Path) -> None:
        result = result_of(dx_image(PatientSpeciesDescription="CAT"), tmp_path)
        assert len(result.PatientBreedCodeSequence) == 0


class TestMultiFrame:
    def test_a_run_gives_one_multi_frame_capture(self, tmp_path: Path) -> None:
        image = multiframe(3)
        source = load(write(image, tmp_path))
        data = encode(source, [f.values for f in source.frames], result_spec()).data
        result = dcmread(BytesIO(data))
        assert result.SOPClassUID == SC + ".3"
        assert result.NumberOfFrames == 3
        assert result.FrameTime == image.FrameTime
        assert result.PixelData == image.PixelData

    def test_signed_hounsfield_units_survive_unsigned_words(self, tmp_path: Path) -> None:
        image = ct_slice(bits_stored=12, signed=True, intercept=0, PixelPaddingValue=-2000)
        source = load(write(image, tmp_path))
        wanted = source.frames[0].values
        data = encode(source, [wanted], result_spec(form="secondary-capture-multiframe")).data
        result = dcmread(BytesIO(data))
        assert result.PixelRepresentation == 0
        hu = result.pixel_array * float(result.RescaleSlope) + float(result.RescaleIntercept)
        np.testing.assert_array_equal(hu, wanted)
        assert result.PixelPaddingValue == 48

    def test_monochrome1_becomes_monochrome2(self, tmp_path: Path) -> None:
        image = dx_image(kind="cr", photometric="MONOCHROME1")
        source = load(write(image, tmp_path))
        wanted = source.frames[0].values
        data = encode(source, [wanted], result_spec(form="secondary-capture-multiframe")).data
        result = dcmread(BytesIO(data))
        assert result.PhotometricInterpretation == "MONOCHROME2"
        np.testing.assert_array_equal(result.pixel_array, wanted)

    @pytest.mark.parametrize("slopes", [(1.0,), (1.0, 2.5, 0.5)])
    def test_enhanced_ct_keeps_geometry_and_hounsfield_units(
        self, tmp_path: Path, slopes: tuple[float, ...]
    ) -> None:
        source = load(write(enhanced_ct(3, slopes=slopes), tmp_path))
        wanted = [frame.values for frame in source.frames]
        result = dcmread(BytesIO(encode(source, wanted, result_spec()).data))
        shared = result.SharedFunctionalGroupsSequence[0]
        rescale = shared.PixelValueTransformationSequence[0]
        assert rescale.RescaleSlope == result.RescaleSlope
        hu = result.pixel_array * float(rescale.RescaleSlope) + float(rescale.RescaleIntercept)
        np.testing.assert_allclose(hu, np.stack(wanted), atol=float(rescale.RescaleSlope) / 2)
        groups = result.PerFrameFunctionalGroupsSequence
        positions = [g.PlanePositionSequence[0].ImagePositionPatient[2] for g in groups]
        assert positions == [0, 2, 4]
        assert shared.PixelMeasuresSequence[0].SliceThickness == 2


class TestDerived:
    def test_is_of_the_class_of_its_source(self, tmp_path: Path) -> None:
        image = dx_image(kind="mg")
        result = result_of(image, tmp_path, form="derived")
        assert result.SOPClassUID == image.SOPClassUID
        assert list(result.ImageType) == ["DERIVED", "PRIMARY"]
        assert result.PresentationIntentType == "FOR PRESENTATION"
        assert result.ViewCodeSequence[0].CodeValue == "399162004"
        assert len(result.ViewCodeSequence[0].ViewModifierCodeSequence) == 0

    def test_frames_of_enhanced_images_are_derived_too(self, tmp_path: Path) -> None:
        image = enhanced_ct(2)
        group = image.SharedFunctionalGroupsSequence[0]
        group.CTImageFrameTypeSequence[0].FrameType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
        image.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
        result = result_of(image, tmp_path, form="derived")
        group = result.SharedFunctionalGroupsSequence[0]
        assert group.CTImageFrameTypeSequence[0].FrameType[0] == "DERIVED"
        assert result.ImageType[0] == "DERIVED"

    def test_stale_attributes_are_gone(self, tmp_path: Path) -> None:
        image = ct_slice(SmallestImagePixelValue=1, IconImageSequence=[ct_slice(size=(8, 8))])
        result = result_of(image, tmp_path, form="derived")
        assert "SmallestImagePixelValue" not in result
        assert "IconImageSequence" not in result

    def test_other_contributing_equipment_stays(self, tmp_path: Path) -> None:
        other = Dataset()
        other.Manufacturer = "Another"
        image = ct_slice(ContributingEquipmentSequence=[other])
        for form in FORMS:
            items = result_of(image, tmp_path, form=form).ContributingEquipmentSequence
            assert [item.Manufacturer for item in items] == ["Another", "dicom-node"]


@pytest.mark.parametrize("form", FORMS)
class TestEveryForm:
    def test_the_same_arguments_give_the_same_bytes(self, tmp_path: Path, form: str) -> None:
        path = write(ct_slice(), tmp_path)
        one, other = load(path), load(path)
        spec = result_spec(form=form)
        assert encode(one, softened(one), spec).data == encode(other, softened(other), spec).data

    @pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2", "1.2.840.10008.1.2.2"])
    def test_the_syntax_of_the_source_leaves_no_trace(
        self, tmp_path: Path, form: str, syntax: str
    ) -> None:
        uid: dict[str, Any] = {
            "SOPInstanceUID": "1.2.3",
            "SeriesInstanceUID": "1.2.4",
            "StudyInstanceUID": "1.2.5",
        }
        uid["FrameOfReferenceUID"] = "1.2.6"
        results = []
        for each in ("1.2.840.10008.1.2.1", syntax):
            source = load(write(ct_slice(transfer_syntax=each, **uid), tmp_path))
            results.append(encode(source, softened(source), result_spec(form=form)).data)
        assert results[0] == results[1]

    @pytest.mark.parametrize(
        "charset", ["ISO_IR 100", "ISO 2022 IR 13\\ISO 2022 IR 87", "NO_SUCH_SET", "GB18030", None]
    )
    def test_names_are_copied_byte_for_byte(
        self, tmp_path: Path, form: str, charset: str | None
    ) -> None:
        name = b"\xd4\xcf\xc0\xde^\x1b$B;3ED"  # 11 bytes, as Phantom^Ada
        image = ct_slice(SpecificCharacterSet=charset)
        path = tmp_path / "source.dcm"
        path.write_bytes(to_bytes(image).replace(b"Phantom^Ada", name[:11]))
        source = load(path)
        assert source.dataset.get("PatientName") is not None  # parsed by others in the meantime
        result = reloaded(encode(source, softened(source), result_spec(form=form)).data, tmp_path)
        assert result.elements[0x00100010].value == source.elements[0x00100010].value
        original = source.elements.get(0x00080005)
        carried = result.elements.get(0x00080005)
        assert (original is None) == (carried is None)

    def test_impossible_windows_are_left_out_with_a_note(self, tmp_path: Path, form: str) -> None:
        image = ct_slice(WindowCenter=[40, 50], WindowWidth=[0])
        result = result_of(image, tmp_path, form=form)
        assert "WindowCenter" not in result
        assert "window" in result.DerivationDescription

    def test_lossy_history_is_carried(self, tmp_path: Path, form: str) -> None:
        image = ct_slice(LossyImageCompression="01", LossyImageCompressionRatio="12.5")
        image.LossyImageCompressionMethod = "ISO_10918_1"
        result = result_of(image, tmp_path, form=form)
        assert result.LossyImageCompression == "01"
        assert result.LossyImageCompressionRatio == 12.5
        assert result.LossyImageCompressionMethod == "ISO_10918_1"

    def test_times_are_of_the_specification(self, tmp_path: Path, form: str) -> None:
        at = datetime(2026, 5, 6, 23, 30, tzinfo=UTC)
        result = result_of(ct_slice(), tmp_path, form=form, at=at)
        assert result.InstanceCreationDate == "20260506"
        assert result.InstanceCreationTime == "233000"
        there = result_of(ct_slice(TimezoneOffsetFromUTC="+0200"), tmp_path, form=form, at=at)
        assert there.InstanceCreationDate == "20260507"
        assert there.InstanceCreationTime == "013000"
        zoned = at.astimezone(timezone(timedelta(hours=-5)))
        west = result_of(ct_slice(), tmp_path, form=form, at=zoned)
        assert west.ContributingEquipmentSequence[-1].ContributionDateTime == "20260506183000-0500"

    def test_text_of_our_own_is_ascii(self, tmp_path: Path, form: str) -> None:
        result = result_of(ct_slice(), tmp_path, form=form, series_description="Ent\\rauscht ü")
        assert result.SeriesDescription == "Ent/rauscht ?"

    def test_frames_must_be_complete_and_finite(self, tmp_path: Path, form: str) -> None:
        source = load(write(multiframe(2), tmp_path))
        with pytest.raises(EncodeError, match="1 denoised frames for 2"):
            encode(source, softened(source)[:1], result_spec(form=form))
        broken = softened(source)
        broken[1] = np.full_like(broken[1], np.inf)
        with pytest.raises(EncodeError, match="frame 2 is not finite"):
            encode(source, broken, result_spec(form=form))

    def test_a_source_without_uid_cannot_be_referred_to(self, tmp_path: Path, form: str) -> None:
        image = ct_slice(size=(4, 4))
        del image.SOPInstanceUID
        path = tmp_path / "source.dcm"
        image.file_meta.MediaStorageSOPInstanceUID = UID("1.2.3")
        path.write_bytes(to_bytes(image))
        source = load(path)
        with pytest.raises(FailItem, match="no valid SOP class and instance UID"):
            encode(source, softened(source), result_spec(form=form))

    @pytest.mark.parametrize("size", [(1, 1), (3, 5)])
    def test_odd_sizes(self, tmp_path: Path, form: str, size: tuple[int, int]) -> None:
        image = dx_image(size=size, bits_allocated=8, bits_stored=8)
        source = load(write(image, tmp_path))
        data = encode(source, [f.values for f in source.frames], result_spec(form=form)).data
        np.testing.assert_array_equal(reloaded(data, tmp_path).cells, source.cells)


@pytest.mark.parametrize(
    "changes",
    [
        {"form": "presentation-state"},
        {"sop_instance_uid": "not a uid"},
        {"series_instance_uid": ""},
        {"at": datetime(2026, 1, 1)},
        {"series_number": -1},
    ],
)
def test_a_specification_that_makes_no_result_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        result_spec(**changes)

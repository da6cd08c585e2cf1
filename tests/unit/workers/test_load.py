"""Images as they come, in physical units; what cannot be loaded says why without names."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dicom_node.dicom.reading import read_object
from dicom_node.errors import (
    FailItem,
    NodeError,
    PassThrough,
    PixelDataError,
    RetryLater,
    UnreadableObject,
)
from tests.support.factories import (
    ct_slice,
    dx_image,
    enhanced_ct,
    multiframe,
    non_image,
    to_bytes,
    write,
)
from workers.load import load


class TestPhysicalUnits:
    def test_ct_is_in_hounsfield_units(self, tmp_path: Path) -> None:
        hu = np.array([[-1000, -1, 0], [40, 1000, 3000]])
        source = load(write(ct_slice(hu), tmp_path))
        assert source.units == "HU"
        assert source.frames[0].values.dtype == np.float32
        np.testing.assert_array_equal(source.frames[0].values, hu)
        assert source.frames[0].valid.all()

    def test_a_slope_that_is_no_integer(self, tmp_path: Path) -> None:
        stored = np.array([[0, 1, 2000]])
        image = ct_slice(stored=stored, slope=0.4882813, intercept=-1024.5, signed=False)
        source = load(write(image, tmp_path))
        np.testing.assert_allclose(source.frames[0].values, stored * 0.4882813 - 1024.5, rtol=1e-6)

    def test_enhanced_ct_has_a_rescale_for_each_frame(self, tmp_path: Path) -> None:
        image = enhanced_ct(3, slopes=(1.0, 2.5, 0.5), intercepts=(-1024.0, -2000.0, -500.0))
        source = load(write(image, tmp_path))
        assert [r.slope for r in source.rescales] == [1.0, 2.5, 0.5]
        cells = source.cells.astype(float)
        np.testing.assert_allclose(source.frames[1].values, cells[1] * 2.5 - 2000, atol=1e-3)

    def test_radiographs_are_linear_stored_values(self, tmp_path: Path) -> None:
        source = load(write(dx_image(np.array([[0, 1, 4095]])), tmp_path))
        assert source.units == "stored"
        assert source.frames[0].full_scale == 4095
        np.testing.assert_array_equal(source.frames[0].values, [[0, 1, 4095]])

    def test_monochrome1_is_turned_so_that_larger_is_brighter(self, tmp_path: Path) -> None:
        image = dx_image(np.array([[0, 1, 4095]]), photometric="MONOCHROME1")
        source = load(write(image, tmp_path))
        np.testing.assert_array_equal(source.frames[0].values, [[4095, 4094, 0]])

    def test_signed_radiographs_count_from_zero(self, tmp_path: Path) -> None:
        image = dx_image(np.array([[-2048, 0, 2047]]), signed=True)
        source = load(write(image, tmp_path))
        np.testing.assert_array_equal(source.frames[0].values, [[0, 2048, 4095]])

    def test_every_frame_of_a_run(self, tmp_path: Path) -> None:
        source = load(write(multiframe(4), tmp_path))
        assert source.frame_count == 4
        assert not np.array_equal(source.frames[0].values, source.frames[3].values)

    @pytest.mark.parametrize("size", [(1, 1), (1, 7), (513, 3)])
    def test_odd_sizes(self, tmp_path: Path, size: tuple[int, int]) -> None:
        image = dx_image(size=size, bits_allocated=8, bits_stored=8)
        assert load(write(image, tmp_path)).frames[0].shape == size


class TestPadding:
    def test_padding_may_not_change(self, tmp_path: Path) -> None:
        stored = np.array([[-2000, 0], [1064, -2000]])
        source = load(write(ct_slice(stored=stored, PixelPaddingValue=-2000), tmp_path))
        np.testing.assert_array_equal(source.frames[0].valid, [[False, True], [True, False]])

    def test_a_padding_value_written_unsigned_for_signed_pixels(self, tmp_path: Path) -> None:
        image = ct_slice(stored=np.array([[-2000, 5]]))
        image.add_new(0x00280120, "US", 63536)
        source = load(write(image, tmp_path))
        np.testing.assert_array_equal(source.frames[0].valid, [[False, True]])

    def test_a_range_of_padding_in_either_order(self, tmp_path: Path) -> None:
        image = dx_image(np.array([[0, 30, 31, 4095]]), PixelPaddingValue=30)
        image.PixelPaddingRangeLimit = 0
        source = load(write(image, tmp_path))
        np.testing.assert_array_equal(source.frames[0].valid, [[False, False, True, True]])

    def test_padding_comes_through_whatever_the_engine_says(self, tmp_path: Path) -> None:
        stored = np.array([[-2000, 0], [1064, -2000]])
        source = load(write(ct_slice(stored=stored, PixelPaddingValue=-2000), tmp_path))
        back = source.stored_values(source.inverse(np.full((2, 2), np.float32(7)), 0))
        np.testing.assert_array_equal(back, [[-2000, 1031], [1031, -2000]])

    def test_a_denoised_value_never_becomes_padding(self, tmp_path: Path) -> None:
        image = dx_image(np.array([[100, 200]]), PixelPaddingValue=0, PixelPaddingRangeLimit=30)
        source = load(write(image, tmp_path))
        back = source.inverse(np.array([[12.0, 30.4]], dtype=np.float32), 0)
        np.testing.assert_array_equal(back, [[31, 31]])


class TestGoingBack:
    def test_values_are_rounded_to_nearest_and_kept_in_range(self, tmp_path: Path) -> None:
        source = load(write(dx_image(np.array([[10, 20, 30, 40]])), tmp_path))
        values = np.array([[10.4, 20.6, -5, 9999]], dtype=np.float32)
        np.testing.assert_array_equal(source.inverse(values, 0), [[10, 21, 0, 4095]])

    def test_overlay_bits_above_the_pixel_stay(self, tmp_path: Path) -> None:
        image = dx_image(np.array([[100, 200]]))
        image.PixelData = np.array([100 | 0x8000, 200 | 0x1000], "<u2").tobytes()
        source = load(write(image, tmp_path))
        np.testing.assert_array_equal(source.frames[0].values, [[100, 200]])
        back = source.inverse(np.array([[101, 203]], dtype=np.float32), 0)
        np.testing.assert_array_equal(back, [[101 | 0x8000, 203 | 0x1000]])

    def test_sign_bits_above_the_pixel_follow_the_value(self, tmp_path: Path) -> None:
        image = ct_slice(stored=np.array([[-5, 7]]), bits_stored=12)
        image.PixelData = np.array([-5, 7], "<i2").tobytes()
        source = load(write(image, tmp_path))
        back = source.inverse(np.array([[-1024 + 3, -1024 - 3]], dtype=np.float32), 0)
        np.testing.assert_array_equal(back.view(np.int16), [[3, -3]])

    def test_pixels_that_do_not_start_at_bit_0(self, tmp_path: Path) -> None:
        image = dx_image(np.array([[0, 0]]), HighBit=15)
        image.PixelData = np.array([(100 << 4) | 3, 200 << 4], "<u2").tobytes()
        source = load(write(image, tmp_path))
        np.testing.assert_array_equal(source.frames[0].values, [[100, 200]])
        back = source.inverse(np.array([[100, 201]], dtype=np.float32), 0)
        np.testing.assert_array_equal(back, [[(100 << 4) | 3, 201 << 4]])

    def test_what_is_not_finite_is_an_error(self, tmp_path: Path) -> None:
        source = load(write(ct_slice(size=(2, 2)), tmp_path))
        values = source.frames[0].values.copy()
        values[0, 0] = np.nan
        with pytest.raises(FailItem, match="not finite"):
            source.inverse(values, 0)

    def test_another_size_is_an_error(self, tmp_path: Path) -> None:
        source = load(write(ct_slice(size=(2, 2)), tmp_path))
        with pytest.raises(FailItem):
            source.inverse(np.zeros((2, 3), np.float32), 0)


class TestBadInput:
    def test_not_dicom(self, tmp_path: Path) -> None:
        path = tmp_path / "x.dcm"
        path.write_bytes(b"this is not DICOM" * 100)
        with pytest.raises(UnreadableObject):
            load(path)

    def test_a_file_that_is_gone_fails_and_one_that_cannot_be_read_is_tried_again(
        self, tmp_path: Path
    ) -> None:
        with pytest.raises(FailItem, match="no longer in the spool"):
            load(tmp_path / "gone.dcm")
        with pytest.raises(RetryLater):
            load(tmp_path)

    @pytest.mark.parametrize("keep", [0, 100, 140, 400, 900, 2000, 8000])
    def test_truncated_anywhere(self, tmp_path: Path, keep: int) -> None:
        path = tmp_path / "x.dcm"
        path.write_bytes(to_bytes(ct_slice())[:keep])
        with pytest.raises(FailItem):
            load(path)

    @pytest.mark.parametrize("change", [-2, -100, 2, 4096])
    def test_pixel_data_of_the_wrong_length(self, tmp_path: Path, change: int) -> None:
        image = ct_slice()
        image.PixelData = (image.PixelData + bytes(5000))[: len(image.PixelData) + change]
        with pytest.raises(PixelDataError, match="bytes instead of 8192"):
            load(write(image, tmp_path))

    def test_empty_pixel_data(self, tmp_path: Path) -> None:
        image = ct_slice()
        image.PixelData = b""
        with pytest.raises(PixelDataError, match="empty"):
            load(write(image, tmp_path))

    def test_no_pixel_data(self, tmp_path: Path) -> None:
        with pytest.raises(PixelDataError, match="missing"):
            load(write(non_image("1.2.840.10008.5.1.4.1.1.88.11", "SR"), tmp_path))

    @pytest.mark.parametrize("keyword", ["Rows", "Columns", "BitsAllocated"])
    def test_missing_attributes_are_named(self, tmp_path: Path, keyword: str) -> None:
        change: dict[str, Any] = {keyword: None}
        with pytest.raises(PixelDataError, match=keyword):
            load(write(ct_slice(**change), tmp_path))

    @pytest.mark.parametrize(
        "changes",
        [
            {"Rows": 0},
            {"Rows": 65535, "Columns": 65535},
            {"BitsAllocated": 12},
            {"BitsStored": 17},
            {"HighBit": 3},
            {"NumberOfFrames": 99},
        ],
    )
    def test_impossible_layouts(self, tmp_path: Path, changes: dict[str, Any]) -> None:
        with pytest.raises(PixelDataError):
            load(write(ct_slice(**changes), tmp_path))

    @pytest.mark.parametrize(
        ("changes", "error"),
        [
            ({"RescaleSlope": "0"}, FailItem),
            ({"RescaleSlope": "nan"}, FailItem),
            ({"RescaleIntercept": "inf"}, FailItem),
            ({"RescaleIntercept": "nan"}, FailItem),
            ({"RescaleSlope": "1e300"}, FailItem),
            ({"RescaleSlope": None}, PassThrough),
            ({"RescaleSlope": ""}, PassThrough),
        ],
    )
    def test_rescales_that_make_no_numbers(
        self, tmp_path: Path, changes: dict[str, Any], error: type[NodeError]
    ) -> None:
        image = ct_slice()
        for keyword, value in changes.items():
            if value is None:
                delattr(image, keyword)
            else:
                image.add_new(keyword, "SH", value)
                image[keyword].VR = "DS" if value == "" else "SH"
        with pytest.raises(error, match=r"(?i)rescale"):
            load(write(image, tmp_path))

    def test_impossible_windows_do_not_matter(self, tmp_path: Path) -> None:
        source = load(write(ct_slice(WindowCenter=[40, 50], WindowWidth=[-3]), tmp_path))
        assert source.frame_count == 1

    def test_colour_is_passed(self, tmp_path: Path) -> None:
        with pytest.raises(PassThrough):
            load(write(ct_slice(PhotometricInterpretation="RGB", SamplesPerPixel=3), tmp_path))

    @pytest.mark.parametrize("keyword", ["FloatPixelData", "DoubleFloatPixelData"])
    def test_numbers_that_are_no_integers_are_passed(self, tmp_path: Path, keyword: str) -> None:
        image = ct_slice()
        del image.PixelData
        setattr(image, keyword, b"\0" * 64)
        with pytest.raises(PassThrough, match="floating-point"):
            load(write(image, tmp_path))


class TestHeaders:
    def test_ten_thousand_private_attributes(self, tmp_path: Path) -> None:
        image = ct_slice()
        for group in range(0x0011, 0x0011 + 2 * 50, 2):
            block = image.private_block(group, "TESTS", create=True)
            for element in range(200):
                block.add_new(element, "LO", "x")
        source = load(write(image, tmp_path))
        assert not any((tag >> 16) % 2 for tag in source.elements)

    @pytest.mark.parametrize(
        "charset", ["ISO 2022 IR 87", "NO_SUCH_SET", "ISO_IR 192\\GB18030", ""]
    )
    def test_character_sets_do_not_matter(self, tmp_path: Path, charset: str) -> None:
        image = ct_slice(SpecificCharacterSet=charset)
        path = tmp_path / "x.dcm"
        path.write_bytes(to_bytes(image).replace(b"Phantom^Ada", b"\x1b$B;3ED@@@\xff"))
        name = load(path).elements[0x00100010].value
        assert name is not None
        assert name.startswith(b"\x1b$B;3ED@@@\xff")

    def test_reading_warns_and_logs_nothing(
        self,
        tmp_path: Path,
        capfd: pytest.CaptureFixture[str],
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        image = ct_slice(SpecificCharacterSet="NO_SUCH_SET", PatientBirthDate="Ada was born")
        source = load(write(image, tmp_path))
        assert source.dataset.PatientName is not None
        assert source.dataset.PatientBirthDate is not None
        assert "Ada" not in caplog.text
        assert "Ada" not in "".join(capfd.readouterr())

    def test_header_only(self, tmp_path: Path) -> None:
        header = read_object(write(ct_slice(), tmp_path), header_only=True)
        assert "PixelData" not in header
        assert header.Modality == "CT"


def test_every_odd_file_loads_or_ends_in_an_error_without_names(shared_data: Path) -> None:
    loaded = 0
    for path in sorted(p for p in (shared_data / "odd").rglob("*") if p.is_file()):
        try:
            source = load(path)
        except NodeError as error:
            text = str(error).lower()
            for secret in _names_in(path):
                assert secret not in text, path
        else:
            loaded += 1
            for index, frame in enumerate(source.frames):
                np.testing.assert_array_equal(
                    source.inverse(frame.values, index), source.cells[index]
                )
    assert loaded > 150


def _names_in(path: Path) -> list[str]:
    try:
        header = read_object(path, header_only=True)
        parts = str(header.get("PatientName", "")).lower().replace("^", " ").split()
    except (NodeError, ValueError, LookupError, zlib.error):
        return []
    return [part for part in parts if len(part) > 3 and part not in path.name.lower()]

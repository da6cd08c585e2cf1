"""Every transfer syntax gives the same pixels; one that lies is found out."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import jpeg_ls
import numpy as np
import pytest
from pydicom import dcmread, dcmwrite
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.pixels.encoders.base import RLELosslessEncoder
from pydicom.uid import UID

from dicom_node.errors import (
    PixelDataError,
)
from tests.support.factories import (
    ct_slice,
    dx_image,
    encapsulated,
    multiframe,
    to_bytes,
    write,
)
from workers.load import load

JPEG_LS = "1.2.840.10008.1.2.4.80"
JPEG_2000 = "1.2.840.10008.1.2.4.90"
RLE = "1.2.840.10008.1.2.5"
BIG = "1.2.840.10008.1.2.2"


def stored_of(image: Dataset) -> np.ndarray[Any, Any]:
    kind = f"<{'i' if image.PixelRepresentation else 'u'}{image.BitsAllocated // 8}"
    return np.frombuffer(image.PixelData, kind).reshape(image.Rows, image.Columns)


class TestTransferSyntaxes:
    @pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1", BIG])
    def test_uncompressed(self, tmp_path: Path, syntax: str) -> None:
        image = ct_slice(transfer_syntax=syntax, seed=3)
        expected = load(write(ct_slice(seed=3), tmp_path)).frames[0].values
        np.testing.assert_array_equal(load(write(image, tmp_path)).frames[0].values, expected)

    def test_big_endian_bytes_in_words(self, tmp_path: Path) -> None:
        image = dx_image(
            np.array([[1, 2, 3]]), bits_allocated=8, bits_stored=8, transfer_syntax=BIG
        )
        image.PixelData = b"\2\1\0\3"  # OW: bytes swapped in pairs
        image["PixelData"].VR = "OW"
        np.testing.assert_array_equal(load(write(image, tmp_path)).frames[0].values, [[1, 2, 3]])

    def test_deflated(self, tmp_path: Path) -> None:
        plain = ct_slice(seed=4)
        image = dcmread(BytesIO(to_bytes(plain)))
        image.file_meta.TransferSyntaxUID = UID("1.2.840.10008.1.2.1.99")
        path = tmp_path / "deflated.dcm"
        dcmwrite(path, image, enforce_file_format=True)
        np.testing.assert_array_equal(load(path).cells[0].view(np.int16), stored_of(plain))

    @pytest.mark.parametrize("signed", [False, True])
    def test_jpeg_ls(self, tmp_path: Path, signed: bool) -> None:
        plain = ct_slice(signed=signed, bits_stored=12, intercept=-1024, seed=5)
        frame = jpeg_ls.encode(stored_of(plain).view(np.uint16)).tobytes()
        image = encapsulated(plain, [frame], JPEG_LS)
        expected = load(write(ct_slice(signed=signed, bits_stored=12, seed=5), tmp_path))
        np.testing.assert_array_equal(
            load(write(image, tmp_path)).frames[0].values, expected.frames[0].values
        )

    def test_rle_of_several_frames(self, tmp_path: Path) -> None:
        plain = multiframe(3)
        expected = load(write(plain, tmp_path)).cells
        frames = [
            RLELosslessEncoder.encode(
                frame.tobytes(),
                rows=frame.shape[0],
                columns=frame.shape[1],
                number_of_frames=1,
                samples_per_pixel=1,
                bits_allocated=16,
                bits_stored=10,
                pixel_representation=0,
                photometric_interpretation="MONOCHROME2",
            )
            for frame in expected
        ]
        source = load(write(encapsulated(plain, frames, RLE), tmp_path))
        np.testing.assert_array_equal(source.cells, expected)


class TestLyingTransferSyntax:
    def test_raw_bytes_called_jpeg_ls(self, tmp_path: Path) -> None:
        image = ct_slice()
        image.file_meta.TransferSyntaxUID = UID(JPEG_LS)
        path = tmp_path / "x.dcm"
        path.write_bytes(_as_it_is(image))
        with pytest.raises(PixelDataError, match="not encapsulated") as error:
            load(path)
        assert str(image.SOPInstanceUID) in str(error.value)

    def test_raw_bytes_in_fragments_called_jpeg_ls(self, tmp_path: Path) -> None:
        plain = ct_slice()
        image = encapsulated(plain, [plain.PixelData], JPEG_LS)
        with pytest.raises(PixelDataError, match="no readable codestream"):
            load(write(image, tmp_path))

    def test_jpeg_ls_called_jpeg_2000(self, tmp_path: Path) -> None:
        plain = ct_slice(signed=False)
        frame = jpeg_ls.encode(stored_of(plain).view(np.uint16)).tobytes()
        with pytest.raises(PixelDataError, match="is jpeg-ls"):
            load(write(encapsulated(plain, [frame], JPEG_2000), tmp_path))

    def test_a_codestream_of_another_size(self, tmp_path: Path) -> None:
        plain = ct_slice(signed=False)
        frame = jpeg_ls.encode(np.zeros((8, 9), np.uint16)).tobytes()
        with pytest.raises(PixelDataError, match="64 x 64 pixels, the codestream 8 x 9"):
            load(write(encapsulated(plain, [frame], JPEG_LS), tmp_path))

    def test_a_codestream_without_its_end(self, tmp_path: Path) -> None:
        plain = ct_slice(signed=False)
        frame = jpeg_ls.encode(stored_of(plain).view(np.uint16)).tobytes()
        with pytest.raises(PixelDataError, match="end marker"):
            load(write(encapsulated(plain, [frame[: len(frame) // 2]], JPEG_LS), tmp_path))

    def test_fragments_called_uncompressed(self, tmp_path: Path) -> None:
        image = ct_slice()
        image.PixelData = encapsulate([b"\xff\xd8" + bytes(500)])
        with pytest.raises(PixelDataError, match="looks encapsulated"):
            load(write(image, tmp_path))

    def test_a_syntax_without_a_decoder_is_named(self, tmp_path: Path) -> None:
        image = encapsulated(ct_slice(), [b"\0\0"], "1.2.840.10008.1.2.4.102")
        with pytest.raises(PixelDataError, match="MPEG-4"):
            load(write(image, tmp_path))


def test_every_syntax_gives_the_pixels_of_the_uncompressed_file(shared_data: Path) -> None:
    folder = shared_data / "odd" / "odd_cornerstone_CT_all_TS"
    expected = load(folder / "CTImage.dcm").frames[0].values
    lossless: tuple[str, ...] = (
        "BigEndian",
        "Deflated",
        "JPEG2000LosslessOnly",
        "JPEGLSLossless",
        "Process14",
    )
    lossless += ("LittleEndian", "RLE")
    checked = 0
    for path in folder.glob("CTImage.dcm_*"):
        values = load(path).frames[0].values
        if any(word in path.name for word in lossless):
            checked += 1
            np.testing.assert_array_equal(values, expected, err_msg=path.name)
        else:
            assert np.abs(np.median(values - expected)) < 35, path.name
    assert checked == 9


def _as_it_is(image: Dataset) -> bytes:
    """Write with the claimed compressed syntax, though the pixel data is not encapsulated."""
    claimed = str(image.file_meta.TransferSyntaxUID).encode()
    image.file_meta.TransferSyntaxUID = UID("1.2.840.10008.1.2.1")
    data = to_bytes(image)
    old = b"\x02\0\x10\0UI" + (20).to_bytes(2, "little") + b"1.2.840.10008.1.2.1\0"
    new = b"\x02\0\x10\0UI" + (22).to_bytes(2, "little") + claimed.ljust(22, b"\0")
    assert old in data
    length = int.from_bytes(data[140:144], "little") + 2
    return (data[:140] + length.to_bytes(4, "little") + data[144:]).replace(old, new)

"""The same values come out of every kind of file, or one line says why not."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom.uid import DeflatedExplicitVRLittleEndian

from dicom_node.dicom.file_meta import file_header
from dicom_node.dicom.reading import VALUE_ERRORS
from model_store.errors import DataError
from model_store.training.readers.dicom import READ_ERRORS
from model_store.training.readers.values import Scale, read_values
from tests.support.factories.dicom import dx_image, multiframe, write
from tests.support.factories.pairs import scene, write_ct, write_hdf5, write_nifti, write_png

_HU = Scale("HU")
_DEEP_LESION = Scale("HU", offset=-32768)
_STORED = Scale("stored")


def _save(path: Path, pixels: NDArray[Any]) -> Path:
    Image.fromarray(pixels).save(path)
    return path


def test_every_kind_gives_the_same_hounsfield_values(tmp_path: Path) -> None:
    values = scene()
    stack = np.stack([values, values + 1])
    signed = tmp_path / "a.tif"
    Image.fromarray(np.rint(values).astype(np.int32)).save(signed)
    for path, scale in (
        (write_ct(tmp_path / "a.IMA", values), _HU),
        (write_png(tmp_path / "a.png", values), _DEEP_LESION),
        (write_hdf5(tmp_path / "a.hdf5", (stack + 1001) / 4072), Scale("HU", 4072, -1001)),
        (write_nifti(tmp_path / "a.nii.gz", stack), _HU),
        (signed, _HU),
    ):
        found, slices = read_values(path, scale)
        assert np.allclose(found[0], np.rint(values), atol=0.51), path.suffix
        assert found.dtype == np.float32
        if len(found) > 1:
            assert np.allclose(found[1] - found[0], 1, atol=1e-3)
            assert np.array_equal(read_values(path, scale, 1)[0][0], found[1])
        if path.suffix in {".IMA", ".gz"}:
            assert slices.pixel_mm is not None
            assert slices.place is not None


def test_hounsfield_values_are_clipped_to_what_a_node_gives_the_model(tmp_path: Path) -> None:
    values = np.where(scene() < -500, -2000, scene()).astype(np.float32)
    assert read_values(write_ct(tmp_path / "a", values), _HU)[0].min() == -1024


def test_radiographs_are_fractions_of_their_range(tmp_path: Path) -> None:
    grey = np.random.default_rng(0).integers(0, 65536, (8, 8)).astype(np.uint16)
    image = dx_image(grey >> 4, photometric="MONOCHROME1")
    dicom, _ = read_values(write(image, tmp_path / "a"), _STORED)
    assert np.allclose(dicom[0], 1 - (grey >> 4) / 4095, atol=1e-6)
    deep, _ = read_values(_save(tmp_path / "a.png", grey), _STORED)
    assert np.allclose(deep[0], grey / 65535)
    byte, _ = read_values(_save(tmp_path / "b.png", (grey >> 8).astype(np.uint8)), _STORED)
    assert np.allclose(byte[0], (grey >> 8) / 255)
    twelve = _save(tmp_path / "c.png", grey >> 4)
    assert np.allclose(
        read_values(twelve, Scale("stored", 1 / 4095))[0][0], (grey >> 4) / 4095, atol=1e-6
    )
    with pytest.raises(DataError, match=r"c\.png: .*has 12 bits.*state data\.slope"):
        read_values(twelve, _STORED)


def test_frames_of_a_multi_frame_image_are_slices(tmp_path: Path) -> None:
    found, _ = read_values(write(multiframe(3, bits_stored=10), tmp_path / "a"), _STORED)
    assert found.shape == (3, 48, 40)
    assert 0 <= found.min() < found.max() <= 1


def _colour(path: Path) -> Path:
    return _save(path, np.zeros((8, 8, 3), np.uint8))


def _truncated(path: Path) -> Path:
    grey = np.random.default_rng(0).integers(0, 65536, (64, 64)).astype(np.uint16)
    _save(path, grey).write_bytes(path.read_bytes()[:3000])
    return path


def _with_nan(path: Path) -> Path:
    volume = scene()[None].copy()
    volume[0, 3, 4] = np.nan
    return write_nifti(path, volume)


def _cut(path: Path, made: Path, size: int) -> Path:
    path.write_bytes(made.read_bytes()[:size])
    return path


@pytest.mark.parametrize(
    ("name", "make", "scale", "message"),
    [
        ("a.png", _colour, _DEEP_LESION, r"a colour picture \(RGB\)"),
        ("a.png", _truncated, _DEEP_LESION, "truncated or damaged picture"),
        (
            "a.png",
            lambda path: _save(path, np.zeros((8, 8), np.uint8)),
            _DEEP_LESION,
            "8 bits, in which no HU",
        ),
        ("a.png", lambda path: write_png(path, scene()), _HU, r"State data\.offset"),
        ("a.png", lambda path: write_png(path, scene()), Scale("HU", offset=0), "are no HU"),
        ("a.nii", _with_nan, _HU, "1 values are NaN or infinite"),
        ("a.h5", lambda path: write_hdf5(path, scene()[None] / 4096 + 0.25), _HU, "are no HU"),
        ("a.h5", lambda path: write_hdf5(path, scene()[None]), _STORED, "no fractions"),
        (
            "a.nii",
            lambda path: write_nifti(path, np.zeros((2, 3, 8, 8), np.float32)),
            _HU,
            "4 dimensions",
        ),
        (
            "a",
            lambda path: write_ct(path, scene(), RescaleSlope=None),
            _HU,
            "has no Rescale Slope",
        ),
    ],
)
def test_what_cannot_be_trained_on_is_named_with_what_to_do(
    name: str, make: Any, scale: Scale, message: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=message) as told:
        read_values(make(tmp_path / name), scale)
    assert str(told.value).startswith(str(tmp_path / name))
    assert "\n" not in str(told.value)


def test_truncated_files_of_every_kind_are_data_errors(tmp_path: Path) -> None:
    stack = np.stack([scene(), scene(1)])
    whole = [
        write_ct(tmp_path / "whole.dcm", scene()),
        write_hdf5(tmp_path / "whole.h5", stack),
        write_nifti(tmp_path / "whole.nii", stack),
        write_nifti(tmp_path / "whole.nii.gz", stack),
    ]
    for made in whole:
        for share in (0.3, 0.9):
            part = _cut(tmp_path / f"cut{made.suffix}", made, int(share * made.stat().st_size))
            with pytest.raises(DataError, match=str(part)):
                read_values(part, _HU)


def test_a_file_that_does_not_inflate_is_a_data_error(tmp_path: Path) -> None:
    path = tmp_path / "deflated.dcm"
    head = file_header(
        sop_class_uid="1.2.840.10008.5.1.4.1.1.2", sop_instance_uid="1.2.3",
        transfer_syntax_uid=DeflatedExplicitVRLittleEndian,
    )  # fmt: skip
    path.write_bytes(head + b"x" * 400)
    with pytest.raises(DataError, match=r"deflated\.dcm: not a readable CT image"):
        read_values(path, _HU)


def test_what_a_node_takes_for_a_damaged_file_does_not_end_a_training_either() -> None:
    assert [kind for kind in VALUE_ERRORS if not issubclass(kind, READ_ERRORS)] == []


def test_a_data_set_of_several_has_to_be_named(tmp_path: Path) -> None:
    import h5py  # noqa: PLC0415

    path = write_hdf5(tmp_path / "a.h5", scene()[None], "images/full")
    with h5py.File(path, "a") as file:
        file["images/quarter"] = scene(1)[None]
        file["note"] = "text"
    with pytest.raises(DataError, match="one of: images/full, images/quarter"):
        read_values(path, _HU)
    found, _ = read_values(path, Scale("HU", dataset="images/quarter"))
    assert np.allclose(found[0], scene(1))
    with pytest.raises(DataError, match="has no slice 1"):
        read_values(path, Scale("HU", dataset="images/full"), 1)


@pytest.mark.parametrize("package", ["h5py", "nibabel"])
def test_a_package_that_is_missing_is_named_with_the_extra_that_brings_it(
    package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writers: dict[str, Callable[[Path, Any], Path]] = {"h5py": write_hdf5, "nibabel": write_nifti}
    path = writers[package](tmp_path / "a.nii", scene()[None])
    there = builtins.__import__

    def absent(name: str, *arguments: Any, **named: Any) -> Any:
        if name == package:
            raise ImportError(f"No module named {name!r}")
        return there(name, *arguments, **named)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(DataError, match=rf"{package}, which is not installed.*dicom-node\[train\]"):
        read_values(path, _HU)

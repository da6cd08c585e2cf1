from __future__ import annotations

from pathlib import Path

import pytest

from model_store.errors import DataError
from model_store.training.readers.kinds import FileKind, is_dicom, kind_of, may_be_image
from tests.support.factories.pairs import scene, write_ct, write_hdf5, write_nifti, write_png


@pytest.mark.parametrize("name", ["a.dcm", "a.IMA", "a", "a.png"])
def test_dicom_is_told_whatever_its_name(name: str, tmp_path: Path) -> None:
    path = write_ct(tmp_path / name, scene())
    assert kind_of(path) is FileKind.DICOM
    assert is_dicom(path)
    path.write_bytes(path.read_bytes()[132:])  # as files without a preamble begin
    assert is_dicom(path)


def test_other_kinds_are_told(tmp_path: Path) -> None:
    stack = scene()[None]
    assert kind_of(write_png(tmp_path / "a.png", scene())) is FileKind.PNG
    assert kind_of(write_hdf5(tmp_path / "b", stack)) is FileKind.HDF5
    assert kind_of(write_nifti(tmp_path / "c.nii", stack)) is FileKind.NIFTI
    assert kind_of(write_nifti(tmp_path / "d.nii.gz", stack)) is FileKind.NIFTI


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "is empty"), (b"hello" * 200, "not an image"), (b"\x1f\x8bxx", "damaged gzip")],
)
def test_what_is_no_image_is_named_with_what_to_do(
    content: bytes, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "strange.bin"
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"strange\.bin: .*{message}"):
        kind_of(path)
    with pytest.raises(DataError, match="absent: cannot be read"):
        kind_of(tmp_path / "absent")


def test_texts_and_indexes_among_images_are_left_alone() -> None:
    names = ["README.txt", "LICENSE", "DICOMDIR", ".DS_Store", "Thumbs.db", "list.csv"]
    assert not any(may_be_image(Path(name)) for name in names)
    assert all(may_be_image(Path(name)) for name in ["1.2.3.4", "a.IMA", "b.dcm", "c"])

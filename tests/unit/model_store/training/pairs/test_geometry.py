from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from model_store.errors import DataError
from model_store.training.pairs.finding import find_pairs
from model_store.training.pairs.section import PairsData
from tests.support.factories.dicom import non_image, write
from tests.support.factories.pairs import UIDS, scene, write_ct, write_png


def _section(**given: Any) -> PairsData:
    base = {"kind": "pairs", "noisy": "low", "partner": "full", "match": "geometry"}
    return PairsData.model_validate(base | given)


def _series(folder: Path, positions: list[float], **attributes: Any) -> None:
    for number, position in enumerate(positions):
        path = folder / f"{len(attributes)}-{number}.IMA"
        write_ct(path, scene(), position=position, **attributes)


def test_partners_lie_at_the_same_place_whatever_their_names_and_order(tmp_path: Path) -> None:
    _series(tmp_path / "low", [0, 3, 6, 9])
    _series(tmp_path / "full", [12, 9.01, 6, 3])
    found = find_pairs(_section(), tmp_path)
    assert [pair.name for pair in found.pairs] == [
        "low/0-1.IMA and full/0-3.IMA",
        "low/0-2.IMA and full/0-2.IMA",
        "low/0-3.IMA and full/0-1.IMA",
    ]
    assert found.alone == ("full/0-0.IMA", "low/0-0.IMA")


def test_files_without_a_place_are_counted_and_left_out(tmp_path: Path) -> None:
    _series(tmp_path / "low", [0])
    _series(tmp_path / "full", [0])
    write(non_image("1.2.840.10008.5.1.4.1.1.88.22", "SR"), tmp_path / "full" / "report")
    (tmp_path / "full" / "LICENSE").write_text("CC BY")
    found = find_pairs(_section(), tmp_path)
    assert (len(found.pairs), found.alone) == (1, ("full/report",))


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"FrameOfReferenceUID": f"{UIDS}.2"}, "all but the Frame of Reference UID"),
        ({"PatientID": "P2"}, "of another patient"),
        ({"PixelSpacing": [0.9, 0.9]}, "same size, spacing and kernel"),
        ({"ConvolutionKernel": "D45f"}, "same size, spacing and kernel"),
        ({"ImageOrientationPatient": [0, 1, 0, 0, 0, -1]}, "same size, spacing and kernel"),
        ({"PatientID": "Anonymous"}, "what anonymising gives to everybody"),
        ({"ImagePositionPatient": None}, "none of its images has Image Position"),
    ],
)
def test_why_nothing_has_a_partner_is_said(
    attributes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    _series(tmp_path / "low", [0, 3])
    _series(tmp_path / "full", [0, 3], **attributes)
    with pytest.raises(DataError, match=message) as told:
        find_pairs(_section(), tmp_path)
    assert "P2" not in str(told.value)


def test_images_of_another_size_are_no_partners(tmp_path: Path) -> None:
    _series(tmp_path / "low", [0])
    write_ct(tmp_path / "full" / "a", scene(0, 80))
    with pytest.raises(DataError, match="same size, spacing and kernel"):
        find_pairs(_section(), tmp_path)


def test_sides_that_were_made_anonymous_apart_are_matched_if_asked_for(tmp_path: Path) -> None:
    for patient, position in (("L067", 0.0), ("L096", 3.0)):
        for number, side in enumerate(("low", "full")):
            given = {"FrameOfReferenceUID": f"{UIDS}.{number}", "PatientID": "Anonymous"}
            path = tmp_path / side / patient / f"{side}.dcm"
            write_ct(path, scene(), position=position, **given)
    found = find_pairs(_section(frame_of_reference=False, patient="folder"), tmp_path)
    assert len({pair.patient for pair in found.pairs}) == len(found.pairs) == 2


def test_two_reconstructions_of_one_place_are_told_apart_or_refused(tmp_path: Path) -> None:
    for kernel in ("B30f", "D45f"):
        for side in ("low", "full"):
            path = tmp_path / side / f"{kernel}.dcm"
            write_ct(path, scene(), ConvolutionKernel=kernel)
    assert len(find_pairs(_section(), tmp_path).pairs) == 2
    write_ct(tmp_path / "full" / "again.dcm", scene())
    with pytest.raises(DataError, match=r"low/B30f\.dcm: several images"):
        find_pairs(_section(), tmp_path)


def test_what_is_not_dicom_and_what_is_one_image_are_refused(tmp_path: Path) -> None:
    _series(tmp_path / "low", [0], SOPInstanceUID=f"{UIDS}.9")
    _series(tmp_path / "full", [0], SOPInstanceUID=f"{UIDS}.9")
    with pytest.raises(DataError, match="the same image on both sides"):
        find_pairs(_section(), tmp_path)
    write_png(tmp_path / "full" / "a.png", scene())
    with pytest.raises(DataError, match=r"a\.png: not DICOM"):
        find_pairs(_section(), tmp_path)


def test_a_file_that_ends_before_its_geometry_is_an_error_and_not_one_without_a_partner(
    tmp_path: Path,
) -> None:
    _series(tmp_path / "low", [0, 3])
    _series(tmp_path / "full", [0, 3])
    cut = tmp_path / "full" / "0-1.IMA"
    cut.write_bytes(cut.read_bytes()[:700])
    with pytest.raises(DataError, match=r"full/0-1\.IMA: not readable as DICOM: .*truncated"):
        find_pairs(_section(), tmp_path)
    cut.unlink()
    cut.symlink_to(tmp_path / "gone")
    with pytest.raises(DataError, match=r"0-1\.IMA: cannot be read: No such file"):
        find_pairs(_section(), tmp_path)

"""Every file of a folder is done, named or passed over; originals and results are safe."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom import dcmread

from dicom_node.errors import ConfigError, NotWritten
from model_store.ref import ModelName
from tests.support.factories import ct_series, dx_image, non_image, to_bytes
from workers.direct.files import FileOutcome, FileRun, find
from workers.direct.files import write as write_whole
from workers.direct.request import Request
from workers.direct.service import NO_IMAGE, Service

SERIES = ct_series(3, size=(16, 16))
ASKED = Request(model=ModelName("toy-ct", "1.0.0"))
DIRECTORY = "1.2.840.10008.1.3.10"
REPORT = "1.2.840.10008.5.1.4.1.1.88.11"

Run = Callable[..., dict[str, FileOutcome]]


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Three slices under names with blanks, one of them in a folder below."""
    folder = tmp_path / "a study"
    (folder / "below").mkdir(parents=True)
    for number, image in enumerate(SERIES):
        place = folder / "below" if number else folder
        (place / f"IM {number}").write_bytes(to_bytes(image))
    return folder


@pytest.fixture
def run(toys: Service) -> Run:
    """Denoise a file or folder; what became of each by its name."""

    def ran(source: Path, out: Path | str, *, overwrite: bool = False) -> dict[str, FileOutcome]:
        done = list(FileRun(toys, ASKED, find(source, str(out)), overwrite=overwrite).run())
        found = {each.source.name: each for each in done}
        assert len(found) == len(done)
        return found

    return ran


def outcomes(done: dict[str, FileOutcome]) -> dict[str, str]:
    return {name: each.state.value for name, each in done.items()}


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_series_in_a_folder_becomes_one_series_of_results(
    run: Run, study: Path, tmp_path: Path
) -> None:
    done = run(study, tmp_path / "out")
    assert outcomes(done) == {f"IM {n}": "denoised" for n in range(3)}
    assert files(tmp_path / "out") == ["IM 0", "below/IM 1", "below/IM 2"]
    results = [dcmread(each.target) for each in done.values()]
    assert {each.SeriesInstanceUID for each in results} == {
        each.series_uid for each in done.values()
    }
    assert len({each.SeriesInstanceUID for each in results}) == 1
    assert len({each.SOPInstanceUID for each in results}) == 3


def test_what_is_no_image_is_named_and_passed_over(run: Run, study: Path, tmp_path: Path) -> None:
    (study / "notes.txt").write_text("DICM", encoding="utf-8")
    (study / "empty").touch()
    (study / "DICOMDIR").write_bytes(to_bytes(non_image(DIRECTORY, "OT")))
    os.mkfifo(study / "pipe")
    done = run(study, tmp_path / "out")
    others = {name: each.why for name, each in done.items() if each.state == "no image"}
    assert others == {
        "notes.txt": NO_IMAGE, "empty": NO_IMAGE, "pipe": "is no regular file",
        "DICOMDIR": "is the directory of a medium (DICOMDIR)",
    }  # fmt: skip
    assert len(files(tmp_path / "out")) == 3


def test_what_the_node_does_not_take_is_named_with_its_reason(
    run: Run, study: Path, tmp_path: Path
) -> None:
    scout = ct_series(1, size=(16, 16), ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    (study / "scout").write_bytes(to_bytes(scout[0]))
    (study / "report").write_bytes(to_bytes(non_image(REPORT, "SR")))
    (study / "chest").write_bytes(to_bytes(dx_image(size=(16, 16))))
    done = run(study, tmp_path / "out")
    said = {name: each.why for name, each in done.items() if each.state == "not denoised"}
    assert said == {
        "scout": "localizer (by Image Type)",
        "report": "Basic Text SR Storage is not an image that is denoised",
        "chest": "model toy-ct@1.0.0 is for CT in HU values, not for DX in stored values",
    }


def test_a_damaged_file_harms_only_itself(run: Run, study: Path, tmp_path: Path) -> None:
    whole = (study / "IM 0").read_bytes()
    (study / "IM 0").write_bytes(whole[: len(whole) - 100])
    (study / "garbage").write_bytes(bytes(128) + b"DICM" + bytes(9))
    (study / "nothing").symlink_to("nowhere")
    (study / "itself").symlink_to("itself")
    done = run(study, tmp_path / "out")
    assert outcomes(done) == {
        "IM 0": "failed", "garbage": "failed", "nothing": "failed", "itself": "failed",
        "IM 1": "denoised", "IM 2": "denoised",
    }  # fmt: skip
    assert "truncated" in done["IM 0"].why
    assert done["IM 0"].why.startswith("truncated"), "its UID says nothing to who has a file name"
    assert done["nothing"].why == "No such file or directory"


def test_the_same_object_is_made_once_and_another_under_its_uid_is_a_conflict(
    run: Run, study: Path, tmp_path: Path
) -> None:
    (study / "z copy").write_bytes((study / "IM 0").read_bytes())
    other = ct_series(1, size=(16, 16), seed=7, SOPInstanceUID=SERIES[0].SOPInstanceUID)[0]
    (study / "z other").write_bytes(to_bytes(other))
    done = run(study, tmp_path / "out")
    assert done["z copy"].state == "not denoised"
    assert done["z copy"].why == f"is the same object as {study / 'IM 0'}"
    assert done["z other"].state == "failed"
    assert "same SOP Instance UID and other bytes" in done["z other"].why
    assert len(files(tmp_path / "out")) == 3
    run(study, tmp_path / "out")
    assert len(files(tmp_path / "out")) == 3, "nor is it made when the first is there already"


def test_results_within_the_folder_are_not_looked_at(run: Run, study: Path) -> None:
    first = run(study, study / "out")
    again = run(study, study / "out", overwrite=True)
    assert outcomes(first) == outcomes(again) == {f"IM {n}": "denoised" for n in range(3)}


def test_a_folder_that_links_lead_to_in_a_circle_is_walked_once(
    run: Run, study: Path, tmp_path: Path
) -> None:
    (study / "below" / "up").symlink_to(study)
    (study / "twice").symlink_to(study / "below")
    assert len(run(study, tmp_path / "out")) == 3


def test_results_that_are_there_stay_unless_they_are_to_be_replaced(
    run: Run, study: Path, tmp_path: Path
) -> None:
    kept = tmp_path / "out" / "IM 0"
    (kept.parent / "below" / "IM 2").mkdir(parents=True)
    kept.write_text("mine", encoding="utf-8")
    done = run(study, kept.parent)
    assert done["IM 0"].state == "not denoised"
    assert done["IM 0"].why == f"{kept} is there already"
    assert done["IM 1"].state == "denoised"
    assert (done["IM 2"].state, done["IM 2"].why[-11:]) == ("failed", "is a folder")
    assert kept.read_text(encoding="utf-8") == "mine"
    assert run(study, kept.parent, overwrite=True)["IM 0"].state == "denoised"
    assert dcmread(kept).Modality == "CT"


def test_an_original_is_never_replaced(run: Run, study: Path, tmp_path: Path) -> None:
    original = study / "IM 0"
    before = original.read_bytes()
    with pytest.raises(ConfigError, match="folder of the originals"):
        find(study, f"{study}/")
    done = run(original, original, overwrite=True)
    assert "would replace an original" in done["IM 0"].why
    (tmp_path / "link").symlink_to(original)
    assert (
        "would replace an original" in run(original, tmp_path / "link", overwrite=True)["IM 0"].why
    )
    inner = study / study.name / "IM 0"  # whose result would go to IM 0 itself
    inner.parent.mkdir()
    inner.write_bytes(to_bytes(ct_series(1, size=(16, 16))[0]))
    done_twice = list(find(study, str(study.parent)).places)
    assert (inner, original) in [(each.source, each.target) for each in done_twice]
    assert original.read_bytes() == before


def test_one_file_goes_to_a_name_or_into_a_folder(run: Run, study: Path, tmp_path: Path) -> None:
    image = study / "IM 0"
    assert run(image, tmp_path / "new.dcm")["IM 0"].target == tmp_path / "new.dcm"
    assert run(image, f"{tmp_path}/made/")["IM 0"].target == tmp_path / "made" / "IM 0"
    assert run(image, tmp_path / "made", overwrite=True)["IM 0"].target.exists()
    for suffix in (".PNG", ".jpg", ".jpeg", ".tif", ".tiff"):
        assert "is the name of another" in run(image, tmp_path / f"x{suffix}")["IM 0"].why
    with pytest.raises(ConfigError, match="a folder need a folder"):
        find(study, str(image))
    with pytest.raises(ConfigError, match="No such file"):
        find(tmp_path / "nothing", str(tmp_path))
    with pytest.raises(ConfigError, match="File name too long"):
        find(image, "x" * 300)


def test_a_result_has_its_name_only_when_it_is_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[tuple[int, list[str]]] = []
    monkeypatch.setattr(
        os, "fsync", lambda fd: synced.append((os.fstat(fd).st_size, files(tmp_path)))
    )
    write_whole(tmp_path / "result", bytes(100))
    ((size, names),) = synced
    assert (size, "result" in names) == (100, False)
    assert files(tmp_path) == ["result"]


def test_a_full_disk_ends_the_work_and_leaves_nothing_half_written(
    run: Run, study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []

    def full(descriptor: int) -> None:
        synced.append(descriptor)
        if len(synced) > 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(NotWritten, match="IM 1 cannot be written: the disk is full"):
        run(study, tmp_path / "out")
    assert files(tmp_path / "out") == ["IM 0"]


def test_an_interrupt_while_a_file_is_written_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "result"
    target.write_bytes(b"before")

    def interrupted(_descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_whole(target, b"after")
    assert (files(tmp_path), target.read_bytes()) == (["result"], b"before")


def test_pictures_have_places_of_their_own(
    toys: Service, run: Run, study: Path, tmp_path: Path
) -> None:
    found = find(study, str(study / "out"), str(study / "drawn"))
    assert len(list(FileRun(toys, ASKED, found).run())) == 3
    assert files(study / "drawn") == ["IM 0.png", "below/IM 1.png", "below/IM 2.png"]
    again = find(study, str(tmp_path / "out"), str(study / "drawn"))
    assert again.count == 6, "of what was made only the pictures are passed over"
    with pytest.raises(ConfigError, match="both results and pictures"):
        find(study, str(tmp_path / "x"), f"{tmp_path}/x/")
    one = study / "IM 0"
    (found_one,) = find(one, str(tmp_path / "a"), f"{tmp_path}/").places
    assert found_one.picture == tmp_path / "IM 0.png"
    with pytest.raises(ConfigError, match="pictures are PNG"):
        find(one, str(tmp_path / "a"), str(tmp_path / "a.jpg"))
    (done,) = FileRun(
        toys, ASKED, find(one, str(tmp_path / "a"), f"{study}/drawn.png"), overwrite=True
    ).run()
    assert done.state == "denoised"
    with pytest.raises(ConfigError, match="both the result and its picture"):
        find(one, str(tmp_path / "a.png"), str(tmp_path / "a.png"))

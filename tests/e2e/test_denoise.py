"""One command, no node: a radiograph, a deep image, a CT series, and what is neither."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread

from tests.support.direct import grey, picture
from tests.support.factories import ct_series, to_bytes


def command(*words: str | Path) -> list[str]:
    return [sys.executable, "-m", "dicom_node", "denoise", *map(str, words)]


def environment() -> dict[str, str]:
    """As of somebody who has configured nothing."""
    return {key: value for key, value in os.environ.items() if not key.startswith("DICOM_NODE_")}


def run(folder: Path, *words: str | Path, code: int = 0) -> str:
    done = subprocess.run(
        command(*words), cwd=folder, env=environment(), capture_output=True, text=True,
        timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    assert done.stderr == ""
    return done.stdout


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "my images"
    (folder / "CT").mkdir(parents=True)
    for number, each in enumerate(ct_series(3, size=(64, 64)), start=1):
        (folder / "CT" / f"I{number}.IMA").write_bytes(to_bytes(each))
    (folder / "chest one.jpeg").write_bytes(picture(grey(8), "JPEG", quality=90))
    (folder / "deep.png").write_bytes(picture(grey(16), "PNG"))
    (folder / "letter.txt").write_text("Dear colleague", encoding="utf-8")
    return folder


def test_a_folder_of_everything(images: Path, tmp_path: Path) -> None:
    said = run(tmp_path, images, "-o", "out")
    assert "5 of 6 files denoised" in said
    assert "3 by drunet-ct@1.3.0 at strength 0.6 (openvino f32): noise" in said
    assert "2 by n2n-unet-xray@1.0.0 at strength 1 (openvino f32): noise" in said
    assert f"no image: {images / 'letter.txt'}: is no DICOM, PNG, JPEG or TIFF" in said
    out = tmp_path / "out"
    results = [dcmread(path) for path in sorted((out / "CT").iterdir())]
    assert len(results) == 3
    assert len({each.SeriesInstanceUID for each in results}) == 1
    for name, kind, dtype in (("chest one.jpeg", "JPEG", np.uint8), ("deep.png", "PNG", np.uint16)):
        with Image.open(out / name) as made, Image.open(images / name) as original:
            assert (made.format, made.size) == (kind, original.size)
            assert np.asarray(made).dtype == dtype
            assert (np.asarray(made) != np.asarray(original)).any()
    again = run(tmp_path, images, "-o", "out", code=3)
    assert again.count("is there already") == 5


def test_one_file_of_each_kind(images: Path, tmp_path: Path) -> None:
    run(tmp_path, images / "chest one.jpeg", "-o", "a.jpg", "--model", "n2n-unet-xray@1.0.0")
    with Image.open(tmp_path / "a.jpg") as made:
        assert b"n2n-unet-xray@1.0.0, sha256 " in made.info["comment"]
    said = run(tmp_path, images / "deep.png", "-o", "a.png", "--model", "drunet-ct", code=3)
    assert "a PNG does not say what its grey values are" in said
    hu = "--hu=0=-1024,65535=3071"
    run(tmp_path, images / "deep.png", "-o", "a.png", "--model", "drunet-ct", hu)
    run(tmp_path, images / "CT" / "I1.IMA", "-o", "slice", "--strength", "0", "--form", "derived")
    result = dcmread(BytesIO((tmp_path / "slice").read_bytes()))
    original = dcmread(images / "CT" / "I1.IMA")
    np.testing.assert_array_equal(result.pixel_array, original.pixel_array)
    said = run(tmp_path, images / "letter.txt", "-o", "letter", code=1)
    assert "is no DICOM, PNG, JPEG or TIFF" in said
    assert not (tmp_path / "letter").exists()


def _as_at_a_terminal() -> None:
    """Whatever was started in the background of a shell ignores the interrupt."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_one_that_is_stopped_leaves_whole_files_and_says_how_many(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    for count, each in enumerate(ct_series(60, size=(512, 512))):
        (folder / f"{count:02}").write_bytes(to_bytes(each))
    process = subprocess.Popen(
        command(folder, "-o", out), env=environment(), stdout=subprocess.PIPE, text=True,
        preexec_fn=_as_at_a_terminal,  # noqa: PLW1509 -- no threads run here
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not (out.is_dir() and any(not path.name.startswith(".") for path in out.iterdir())):
        assert process.poll() is None, "it was done before it was stopped"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(number)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == code, said
    made = list(out.iterdir())
    counted = int(said.partition(" of 60 files denoised")[0].split()[-1])
    assert counted in (len(made) - 1, len(made)), "it may be stopped before it has counted the last"
    for path in made:
        assert dcmread(path).pixel_array.shape == (512, 512)

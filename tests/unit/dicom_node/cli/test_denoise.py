"""``dicom-node denoise``: what is done is counted, what is not is named, exit codes say which."""

from __future__ import annotations

import inspect
import json
import os
import re
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from typer.testing import CliRunner, Result

from dicom_node.cli import app
from dicom_node.cli.denoise import denoise
from model_store.trust.key import PrivateKey, generate
from model_store.trust.signature import sign
from tests.support.direct import CT, XRAY, grey, node_toml, picture
from tests.support.factories import ct_series, dx_image, to_bytes
from tests.support.factories.models import model_version
from workers.direct import files

ROOT = Path(__file__).resolve().parents[4]


class Site:
    """A folder of images, and the command on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = node_toml(folder)
        self.images = folder / "images [1]"
        self.out = folder / "out"
        self.images.mkdir()

    def put(self, name: str, data: bytes) -> Path:
        (self.images / name).write_bytes(data)
        return self.images / name

    def series(self, count: int = 3) -> list[Path]:
        return [
            self.put(f"{number}.IMA", to_bytes(each))
            for number, each in enumerate(ct_series(count, size=(16, 16)), start=1)
        ]

    def run(self, *words: str | Path, code: int = 0) -> Result:
        arguments = ["denoise", *map(str, words), "--config", str(self.config)]
        result = CliRunner(env={"COLUMNS": "300"}).invoke(app, arguments)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == code, result.stdout + result.stderr
        return result

    def folder_done(self, *words: str | Path, code: int = 0) -> str:
        result = self.run(self.images, "-o", self.out, "--model", CT, *words, code=code)
        return result.stdout + result.stderr


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_a_series_is_counted_with_its_model_and_its_noise(site: Site) -> None:
    site.series()
    said = site.folder_done()
    assert "3 of 3 files denoised" in said
    assert "3 by toy-ct@1.0.0 at strength 1 (onnxruntime f32)" in said
    assert len({dcmread(path).SeriesInstanceUID for path in site.out.iterdir()}) == 1


def test_a_file_that_must_not_be_denoised_is_told_from_one_that_cannot_be(site: Site) -> None:
    site.series()
    site.put("chest", to_bytes(dx_image(size=(16, 16))))
    site.put("read me", b"hello")
    said = site.folder_done(code=3)
    assert f"not denoised: {site.images / 'chest'}: model toy-ct@1.0.0 is for CT" in said
    assert f"no image: {site.images / 'read me'}: is no DICOM, PNG, JPEG or TIFF" in said
    assert "3 of 5 files denoised" in said
    site.put("broken", to_bytes(ct_series(1, size=(16, 16))[0])[:-100])
    assert "failed:" in site.folder_done("--overwrite", code=1)


def test_a_folder_without_an_image_is_an_error(site: Site) -> None:
    assert "0 of 0 files denoised" in site.folder_done(code=1)
    site.put("read me", b"hello")
    assert "no image" in site.folder_done(code=1)


def test_a_machine_reads_what_was_done(site: Site) -> None:
    site.series(1)
    site.put("read me", b"hello")
    rows: list[dict[str, Any]] = json.loads(site.folder_done("--json"))
    done, other = rows
    assert (done["state"], done["kind"], done["model"]) == ("denoised", "DICOM", CT)
    assert done["series_uid"] == dcmread(done["result"]).SeriesInstanceUID
    assert set(done["noise"]) == {"before", "after", "shift", "windows"}
    assert (other["state"], other["result"]) == ("no image", None)


def test_a_name_that_is_no_text_commands_no_terminal(site: Site) -> None:
    name = os.fsdecode(b"\xff\x1b[31m[bold]")
    site.put(name, b"hello")
    site.put(name + "s", to_bytes(ct_series(1, size=(16, 16))[0]))
    assert "?" * 2 + "[31m[bold]: is no DICOM" in site.folder_done()
    (row, _) = json.loads(site.folder_done("--overwrite", "--json"))
    assert row["source"].endswith("\\xff\x1b[31m[bold]")
    result = site.run(site.images / name, "-o", site.config / "\x1b" / name, code=1)
    assert "\x1b" not in result.stdout + result.stderr


def test_images_of_both_kinds_have_each_their_default_model(site: Site) -> None:
    aliases = f'[aliases]\n"ct-default@production" = "{CT}"\n"xray-default@production" = "{XRAY}"\n'
    (site.folder / "models" / "aliases.toml").write_text(aliases, encoding="utf-8")
    site.series(1)
    site.put("chest", to_bytes(dx_image(size=(16, 16))))
    site.put("chest.png", picture(grey(8), "PNG"))
    said = site.run(site.images, "-o", site.out).stdout
    assert "1 by toy-ct@1.0.0" in said
    assert "2 by toy-xray@1.0.0" in said


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--strength", "nan"], "between 0 and 1"), (["--strength", "1.5"], "between 0 and 1"),
        (["--strength", "-1"], "between 0 and 1"), (["--at", "soon"], "is no time"),
        (["--hu", "7"], "GREY=HU"), (["--bits", "17"], "--bits"), (["--form", "png"], "png"),
        (["--model", "Nobody's"], "is not of the form"),
    ],
)  # fmt: skip
def test_wrong_use_is_said_before_anything_is_done(site: Site, words: list[str], why: str) -> None:
    site.series(1)
    result = site.run(site.images, "-o", site.out, *words, code=2)
    assert why in " ".join(result.stderr.split())
    assert not site.out.exists()


def test_a_model_that_is_not_there_ends_it_at_once(site: Site) -> None:
    site.series()
    result = site.run(site.images, "-o", site.out, "--model", "nobody", code=1)
    assert "no alias nobody@production; there is" in result.stderr
    assert result.stdout == ""


def test_a_version_that_nobody_trusted_signed_is_refused(site: Site, tmp_path: Path) -> None:
    site.series(1)
    trusting = site.config.read_text(encoding="utf-8").replace('"accept"', '"refuse"')
    keys = tmp_path / "keys"
    generate("site", keys, "The site", date(2026, 1, 2))
    site.config.write_text(
        trusting.replace("[models]\n", f'[models]\ntrust = "{keys}"\n'), encoding="utf-8"
    )
    result = site.run(site.images, "-o", site.out, "--model", CT, code=3)
    assert "refused: " in result.stderr
    assert not site.out.exists()
    signed = model_version(tmp_path / "models", version="1.1.0")
    sign(signed, PrivateKey.read(keys / "site.key"))
    site.run(site.images, "-o", site.out, "--model", "toy-ct@1.1.0")


def test_what_was_done_before_an_interrupt_is_said(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.series()
    real = files.write
    written: list[Path] = []

    def interrupted(target: Path, data: bytes) -> None:
        if written:
            raise KeyboardInterrupt
        written.append(target)
        real(target, data)

    monkeypatch.setattr(files, "write", interrupted)
    said = site.folder_done(code=130)
    assert "1 of 3 files denoised" in said
    assert "interrupted: no file is left half-written; the same command does the rest" in said
    monkeypatch.undo()
    assert "2 of 3 files denoised" in site.folder_done(code=3), "what is there is not made again"


def test_a_disk_that_is_full_is_said_with_what_was_done(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.series()
    blocked = site.folder / "file"
    blocked.touch()
    result = site.run(site.images, "-o", blocked / "out", "--model", CT, code=1)
    assert "Not a directory" in result.stderr + result.stdout


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--picture", "{out}/a.jpg"), "pictures are PNG"),
        (("-o", "{out}/a.png", "--picture", "{out}/a.png"), "both the result and its picture"),
        (("--route", "no/name"), "is not 1 to 63"),
    ],
)
def test_words_that_contradict_each_other_are_wrong_use(
    site: Site, words: tuple[str, ...], why: str
) -> None:
    (image,) = site.series(1)
    given = [each.format(out=site.out) for each in words]
    result = site.run(image, "-o", site.out, *given, code=2)
    assert why in result.stderr
    assert not site.out.exists()


def test_a_place_where_no_result_can_be_is_wrong_use_and_a_file_that_is_not_there_is_an_error(
    site: Site,
) -> None:
    (image,) = site.series(1)
    site.run(site.images, "-o", site.images, code=2)
    site.run(site.images, "-o", image, code=2)
    site.run(site.images, "-o", site.out, "--picture", site.out, code=2)
    site.run(site.images / "none", "-o", site.out, code=1)


def test_the_page_lists_the_exit_codes_that_the_help_lists() -> None:
    page = (ROOT / "docs/how-to/denoise-a-file.md").read_text(encoding="utf-8")
    codes = re.findall(r"^(\d+) ", inspect.getdoc(denoise) or "", re.MULTILINE)
    assert re.findall(r"^\| (\d+) \|", page, re.MULTILINE) == codes
    assert codes == ["0", "1", "2", "3", "130", "143"]

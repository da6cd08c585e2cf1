"""A newcomer: ``make demo``, then ``docs/getting-started.md`` line by line."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from tests.forms import documents, study
from tests.forms.sandbox import SOURCES, Folder, Process, Sandbox, missing
from tests.support.factories.dicom import ct_series, write
from tests.support.pacs import FakePacs
from tests.support.servers import find_program, free_port

PAGE = documents.page("getting-started.md")
CONFIG = f"{SOURCES}/node.toml"
STORAGE = "/var/lib/dicom-node"

pytestmark = [
    pytest.mark.dcmtk, pytest.mark.timeout(900),
    pytest.mark.skipif(find_program("make") is None, reason="make is not installed"),
]  # fmt: skip


@pytest.fixture(scope="module")
def shown() -> Iterator[Sandbox]:
    """After the page's first step, on the phantom: downloads are no matter of an install.

    All of the page happens in the sources' folder: it is done where nothing can be mounted, too.
    """
    first = documents.block(PAGE, "make demo\n").strip()
    with Sandbox() if missing() is None else Folder() as made:
        try:
            made.install(f"{first} DEMO=--offline")
        except AssertionError as error:
            with suppress(OSError):
                error.add_note(made.read(f"{SOURCES}/demo-report/node.log")[-20_000:])
            raise
        yield made


def test_make_demo_installs_and_does_the_main_job(shown: Sandbox) -> None:
    assert "denoised" in shown.read(f"{SOURCES}/demo-report/index.html")
    installed = shown.read(f"{SOURCES}/.venv/.installed-runtime")
    assert installed == ""


def test_every_step_of_the_page_does_what_it_says(shown: Sandbox, tmp_path: Path) -> None:
    port, log = free_port(), tmp_path / "node.log"
    process = Process(
        [], {"PATH": "/usr/bin:/bin", "HOME": "/root"}, "0", "0", SOURCES, read_only=False
    )

    def step(*words: str) -> subprocess.CompletedProcess[str]:
        done = shown.also(process, words)
        assert done.returncode == 0, f"{words}\n{done.stdout}{done.stderr}"
        return done

    step(*shlex.split(documents.block(PAGE, "config init")))
    with FakePacs() as pacs:
        smallest = documents.toml_block(PAGE, "[[routes]]")
        localised = documents.localise(smallest, port, {"pacs": pacs.port})
        shown.write(CONFIG, localised.replace(STORAGE, shown.called(STORAGE)))
        before = step(*shlex.split(documents.block(PAGE, "check --config")))
        assert "no ledger yet" in before.stdout
        start = Process(
            shlex.split(documents.block(PAGE, "up --config")), process.environment, "0", "0",
            SOURCES, read_only=False,
        )  # fmt: skip
        node = shown.start(start, log)
        study.wait_for_port(port, [node], log)

        series = ct_series(study.SLICES, size=(64, 64))
        (shown.path(SOURCES) / "slices").mkdir()
        for number, dataset in enumerate(series):
            write(dataset, shown.path(SOURCES) / "slices" / f"{number}.dcm")
        sending = documents.block(PAGE, "storescu").replace("10.1.2.4", "127.0.0.1")
        step("sh", "-e", "-c", sending.replace("11112", str(port)))

        listing = shlex.split(documents.block(PAGE, "study list"))

        def command(words: Sequence[str]) -> subprocess.CompletedProcess[str]:
            assert words[:2] == listing[1:3] == ["study", "list"]
            return shown.also(process, [*listing, *words[2:]])

        study.require_delivered(str(series[0].StudyInstanceUID), pacs, command, log)
        study.stop([node], log)

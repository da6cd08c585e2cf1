from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from model_store.cli import app
from model_store.errors import DataError
from model_store.manifest import TrainedNoise
from model_store.reports.page import prose
from model_store.reports.writing import write_reports
from model_store.store import ModelStore
from tests.support.factories.models import STORED, model_version

_GROUP = "simulated noise of 10 HU"
_HEADLINE = {
    _GROUP: {
        "metric": "PSNR 400 HU",
        "images": 3,
        "input": 30.0,
        "model": 33.5,
        "model_best_strength": 33.6,
        "bm3d_estimated_noise": 34.0,
        "best_filter_setting": 33.0,
        "won_against_best_setting": 2,
    }
}
_SWEEP = {
    "title": "Validity",
    "note": "",
    "columns": ["noise HU", "PSNR in", "PSNR out", "gain dB"],
    "rows": [[60.0, 20.0, 30.0, 10.0], [2.0, 50.0, 49.0, -1.0]],
}
_PHYSICS = {
    "strength": 1.0,
    "passed": False,
    "gates": [
        {
            "name": "noise SD falls by at least",
            "value": 7.6676,
            "limit": 40.0,
            "unit": "%",
            "passed": False,
            "note": "water",
        },
        {
            "name": "uniform region moves by at most",
            "value": 0.2,
            "limit": 1.0,
            "unit": "HU",
            "passed": True,
            "note": "water",
        },
    ],
    "tables": [{"title": "Noise", "note": "", "columns": ["images", "SD"], "rows": [["w", 1.5]]}],
    "curves": {
        "nps": [{"name": "water", "frequency": [0.1, 0.2], "before": [1, 2], "after": [1, 1]}],
        "ttf": [
            {
                "name": f"sharp kernel, {contrast} HU",
                "frequency": [0.0, 0.4, 0.8],
                "before": [1, 0.8, 0.4],
                "after": [1, 0.7, 0.2],
            }
            for contrast in (-1000, 1000, 120, 35, 14, 7)
        ],
    },
}


class _Texts(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self._hidden = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._hidden = tag == "style"

    def handle_endtag(self, tag: str) -> None:
        self._hidden = False

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))


def _page(root: Path, **files: Any) -> str:
    store = ModelStore(root)
    given: dict[str, Any] = {}
    for name, content in files.items():
        given[name] = root / f"{name}.json"
        given[name].write_text(json.dumps(content))
    (written,) = write_reports(store, store.versions(), root / "out", **given)
    return written.read_text("utf-8")


def test_a_run_that_began_with_other_weights_says_whose(tmp_path: Path) -> None:
    version = model_version(tmp_path)
    training = {"iterations": 30, "minutes": 2.0, "hardware": "1 thread", "start": "dngan-mse"}
    manifest = version.manifest.model_copy(update={"metrics": {"training": training}})
    manifest.write(version.folder / "manifest.json")
    wanted = "30 iterations in 2 minutes on 1 thread, beginning with the weights of dngan-mse"
    assert wanted in _Texts(_page(tmp_path)).text


def test_a_version_with_nothing_measured_says_which_command_measures_it(tmp_path: Path) -> None:
    model_version(tmp_path)
    text = _Texts(_page(tmp_path)).text
    for wanted in (
        "toy-ct 1.0.0",
        "Not measured yet.",
        "model-store report toy-ct@1.0.0 --data DIR",
        "model-store evaluate toy-ct@1.0.0 --data DIR --out results.json",
        "model-store physics toy-ct@1.0.0 --data DIR --out physics.json",
        "model-store report toy-ct@1.0.0 --log RUN",
        "follows no single publication",
    ):
        assert wanted in text


def test_a_measured_version_has_advice_tables_plots_and_gates(tmp_path: Path) -> None:
    noise = TrainedNoise(minimum_sd=0, maximum_sd=60, description="simulated")
    version = model_version(tmp_path, parameters=1234567, trained_noise=noise)
    page = _page(
        tmp_path, results={"summary": {"headline": _HEADLINE, "tables": [_SWEEP]}}, physics=_PHYSICS
    )
    parsed = _Texts(page)
    for wanted in (
        "changes PSNR 400 HU on held-out images by +3.5 dB",
        "Below BM3D with the noise level estimated from the image in 1 of 1 groups",
        "Nowhere below the best classical filter",
        "more than 47 dB",
        "misses 1 of 2 limits: noise SD falls by at least 40 % (is 7.67)",
        "not passed",
        "1,234,567",
        version.manifest.files["model.onnx"],
        "no gain at 47.3 dB",
        "trained range",
        "TTF50",
    ):
        assert wanted in parsed.text, wanted
    plots = [attrs["aria-label"] for tag, attrs in parsed.tags if tag == "svg"]
    assert plots == [
        "Gain against the quality of the input",
        "Quality of the output against that of the input",
        "Noise power spectrum: water",
        "Task transfer function: sharp kernel",
    ]


def test_a_page_needs_nothing_from_outside_and_no_scripts(tmp_path: Path) -> None:
    model_version(tmp_path)
    page = _page(tmp_path, results={"summary": {"headline": _HEADLINE, "tables": [_SWEEP]}})
    tags = {tag for tag, _ in _Texts(page).tags}
    assert not tags & {"script", "link", "iframe", "object"}
    assert "http:" not in page
    assert "https:" not in page


def test_texts_of_a_manifest_and_of_results_are_escaped(tmp_path: Path) -> None:
    model_version(tmp_path, intended_use="<script>alert(1)</script>", training_data="a & <b>")
    headline = {"<img src=x>": _HEADLINE[_GROUP]}
    table = {**_SWEEP, "title": "<svg onload=x>", "note": "**bold** `<code>`"}
    page = _page(tmp_path, results={"summary": {"headline": headline, "tables": [table]}})
    assert "<script" not in page
    assert "<img" not in page
    assert "<svg onload" not in page
    assert "<strong>bold</strong> <code>&lt;code&gt;</code>" in page


@pytest.mark.parametrize(
    "physics",
    [{}, {"gates": []}, {"curves": {"nps": [{"name": "without numbers"}]}}, {"tables": []}],
)
def test_parts_of_the_physics_may_be_absent(tmp_path: Path, physics: dict[str, Any]) -> None:
    model_version(tmp_path)
    assert "On phantoms" in _page(tmp_path, physics=physics)


def test_radiographs_have_no_phantoms(tmp_path: Path) -> None:
    model_version(tmp_path, "toy-xray", input_spec=STORED)
    assert "phantoms" not in _Texts(_page(tmp_path)).text.lower()
    with pytest.raises(DataError, match="no CT model"):
        _page(tmp_path, physics=_PHYSICS)


@pytest.mark.parametrize("content", ["no json", "[]", '{"trials": []}'])
def test_a_wrong_file_of_results_is_refused_by_name(tmp_path: Path, content: str) -> None:
    model_version(tmp_path)
    wrong = tmp_path / "wrong.json"
    wrong.write_text(content)
    store = ModelStore(tmp_path)
    with pytest.raises(DataError, match=r"wrong\.json"):
        write_reports(store, store.versions(), tmp_path / "out", results=wrong)


def test_all_versions_get_pages_and_an_index_that_links_them(tmp_path: Path) -> None:
    model_version(tmp_path, metrics={"headline": _HEADLINE, "tables": [_SWEEP]})
    model_version(tmp_path, "toy-xray", input_spec=STORED)
    aliases = '[aliases]\n"ct-default@production" = "toy-ct@1.0.0"\n'
    (tmp_path / "aliases.toml").write_text(aliases)
    out = tmp_path / "out"
    done = CliRunner().invoke(app, ["report", "--all", "--zoo", str(tmp_path), "--out", str(out)])
    assert done.exit_code == 0, done.output
    parsed = _Texts((out / "index.html").read_text("utf-8"))
    links = [attrs["href"] for tag, attrs in parsed.tags if tag == "a"]
    assert links == ["toy-ct@1.0.0.html", "toy-xray@1.0.0.html"]
    assert all((out / str(link)).is_file() for link in links)
    for wanted in ("+3.5 to +3.5", "0 of 1", "47.3 dB", "ct-default@production"):
        assert wanted in parsed.text


def test_of_many_versions_one_file_of_results_is_refused(tmp_path: Path) -> None:
    model_version(tmp_path)
    model_version(tmp_path, version="1.1.0", metrics={})
    store, results = ModelStore(tmp_path), tmp_path / "results"
    file = tmp_path / "one.json"
    file.write_text("{}")
    with pytest.raises(DataError, match="one file for several versions"):
        write_reports(store, store.versions(), tmp_path / "out", results=file)
    results.mkdir()
    summary = {"summary": {"headline": _HEADLINE, "tables": []}}
    (results / "toy-ct@1.1.0.json").write_text(json.dumps(summary))
    old, new, _ = write_reports(store, store.versions(), tmp_path / "out", results=results)
    assert _GROUP not in old.read_text("utf-8")
    assert _GROUP in new.read_text("utf-8")


def test_the_command_wants_one_version_or_all(tmp_path: Path) -> None:
    model_version(tmp_path)
    for arguments in ([], ["toy-ct@1.0.0", "--all"]):
        assert (
            CliRunner().invoke(app, ["report", *arguments, "--zoo", str(tmp_path)]).exit_code == 2
        )
    unknown = CliRunner().invoke(app, ["report", "toy-ct@2.0.0", "--zoo", str(tmp_path)])
    assert unknown.exit_code == 1
    assert "toy-ct@1.0.0" in unknown.output


def test_lists_of_a_recipe_become_lists() -> None:
    text = prose("Before.\n- one `code`\n- two\nAfter <b>.")
    assert text == (
        "<p>Before.</p>\n<ul><li>one <code>code</code></li><li>two</li></ul>\n"
        "<p>After &lt;b&gt;.</p>"
    )

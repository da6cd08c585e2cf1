"""A shadow is set and ended from the command line, and what came of it is said."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from dicom_node.bell.outbox import SilentBell
from dicom_node.cli.model.shadow import compare, shadow
from dicom_node.ledger import alias_moves, shadow_measures
from dicom_node.ledger.engine import make_engine
from dicom_node.ledger.unit_of_work import Ledger
from model_store.ref import ModelName
from model_store.registry.records import Measure, Move
from tests.support.factories.models import STORED, model_version
from tests.support.ledgers import fresh_url

ALIAS = "toy-ct@production"
OLD, NEW = "toy-ct@1.0.0", "toy-ct@1.1.0"


class Bench:
    """A node's ledger and models, and the two commands on them."""

    def __init__(self, folder: Path) -> None:
        models = folder / "models"
        model_version(models)
        model_version(models, version="1.1.0")
        model_version(models, "toy-xray", input_spec=STORED)
        (models / "aliases.toml").write_text(f'[aliases]\n"{ALIAS}" = "{OLD}"\n', encoding="utf-8")
        url = fresh_url(folder / "ledger")
        self._config = folder / "node.toml"
        self._config.write_text(
            f'[storage]\npath = "{folder / "spool"}"\n[database]\nurl = "{url}"\n'
            f'[models]\npath = "{models}"\nunsigned = "accept"\n[log]\nlevel = "error"\n'
            '[[destinations]]\nname = "pacs"\nae_title = "PACS"\nhost = "127.0.0.1"\n'
            f'[[routes]]\nname = "ct"\nwhen = {{ Modality = "CT" }}\nmodel = "{ALIAS}"\n'
            'destinations = ["pacs"]\n',
            encoding="utf-8",
        )
        self.ledger = Ledger(make_engine(url), SilentBell())
        self._app = typer.Typer()
        self._app.command("shadow")(shadow)
        self._app.command("compare")(compare)

    def run(self, *arguments: str) -> Any:
        return CliRunner().invoke(self._app, [*arguments, "--config", str(self._config)])

    def set(self, *more: str) -> Any:
        return self.run("shadow", NEW, "--of", ALIAS, "--why", "trial", "--by", "a@b", *more)

    def moves(self) -> tuple[Move, ...]:
        with self.ledger.read() as session:
            return alias_moves.history(session, ModelName("toy-ct", "shadow"))

    def measure(self, series: int, ratio: float = 0.8, **changes: Any) -> None:
        rng = np.random.default_rng(0)
        usual: dict[str, Any] = {
            "noise_input": 20.0, "noise_production": 10.0,
            "bias": 0.1, "rms_difference": 2.0, "largest_difference": 9.0,
            "seconds_production": 0.1, "seconds_shadow": 0.2, "units": "HU",
        }  # fmt: skip
        rows = []
        for number in range(series):
            noise = 10.0 * ratio * float(np.exp(rng.normal(0, 0.05)))
            values = usual | {"noise_shadow": noise} | changes
            rows.append(Measure(1, 1, "ct", "toy-ct", f"1.2.{number}", OLD, NEW, **values))
        with self.ledger.write() as unit:
            shadow_measures.record(unit, rows)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.ledger.engine.dispose()


def test_a_shadow_is_set_changed_and_ended(bench: Bench) -> None:
    done = bench.set("--share", "0.5")
    assert done.exit_code == 0, done.output
    assert "sees 50 % of the batches of toy-ct@production (toy-ct@1.0.0)" in done.output
    assert "routes: ct" in done.output
    assert bench.set("--json").exit_code == 0
    done = bench.run("shadow", "--off", "toy-ct", "--why", "seen enough")
    assert done.exit_code == 0, done.output
    assert "what was measured stays" in done.output
    first, second, last = bench.moves()
    assert (str(first.target), first.share, first.action) == (NEW, 0.5, "shadow")
    assert (first.who, first.why) == ("a@b", "trial")
    assert {gate["gate"] for gate in first.gates} == {"signature", "state", "graph", "purpose"}
    assert second.share == 0.1
    assert (last.target, last.action) == (None, "remove")
    assert bench.run("shadow", "--off", "toy-ct", "--why", "again").exit_code == 3


def test_a_refused_shadow_for_machines(bench: Bench) -> None:
    done = bench.run("shadow", "toy-xray@1.0.0", "--of", ALIAS, "--why", "x", "--json")
    assert done.exit_code == 3
    told = json.loads(done.stdout)
    assert told["moved"] is False
    assert (told["alias"], told["target"]) == ("toy-ct@shadow", "toy-xray@1.0.0")
    assert [gate["gate"] for gate in told["gates"] if not gate["passed"]] == ["purpose"]
    assert bench.moves() == ()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("toy-xray@1.0.0", "--of", ALIAS), 3, "purpose"),
        ((OLD, "--of", ALIAS), 3, "nothing to compare"),
        (("toy-ct@9.0.0", "--of", ALIAS), 1, "no model toy-ct@9.0.0"),
        ((NEW, "--of", "toy-ct@nothing"), 1, "stands for nothing"),
        ((NEW, "--of", "toy-ct@shadow"), 2, "delivers"),
        ((NEW,), 2, "--of"),
        ((NEW, "--of", ALIAS, "--off", "toy-ct"), 2, "--off"),
        (("--of", ALIAS), 2, "NAME@VERSION"),
        ((NEW, "--of", ALIAS, "--share", "0"), 2, "share"),
        ((NEW, "--of", ALIAS, "--share", "1.1"), 2, "share"),
        (("toy-ct@production", "--of", ALIAS), 2, "is an alias"),
    ],
)
def test_what_cannot_be_a_shadow_is_refused(
    bench: Bench, arguments: tuple[str, ...], code: int, said: str
) -> None:
    done = bench.run("shadow", *arguments, "--why", "trial")
    assert done.exit_code == code, done.output
    assert said in " ".join(done.output.split())
    assert bench.moves() == ()


def test_a_reason_is_asked_for(bench: Bench) -> None:
    assert bench.run("shadow", NEW, "--of", ALIAS).exit_code == 2
    assert bench.run("shadow", NEW, "--of", ALIAS, "--why", " ").exit_code == 2


def test_less_noise_is_compared_and_nothing_speaks_against_it(bench: Bench) -> None:
    bench.set()
    bench.measure(12)
    done = bench.run("compare", ALIAS)
    assert done.exit_code == 0, done.output
    assert f"{NEW} against {OLD}" in done.output
    assert "12 images of 12 series, 0 failed" in done.output
    assert "% of the noise that toy-ct@1.0.0 leaves" in done.output
    assert "verdict: less noise" in done.output
    found = json.loads(bench.run("compare", ALIAS, "--json").stdout)
    assert found["conclusion"] == "less noise"
    assert found["noise"]["low"] < found["noise"]["value"] < found["noise"]["high"] < 1
    assert found["wanted"] == 0


def test_more_noise_ends_with_another_code(bench: Bench) -> None:
    bench.set()
    bench.measure(12, 1.3)
    done = bench.run("compare", ALIAS)
    assert done.exit_code == 3
    assert "verdict: more noise" in done.output


def test_too_few_series_say_how_many_more(bench: Bench) -> None:
    bench.set()
    bench.measure(3)
    done = bench.run("compare", ALIAS)
    assert done.exit_code == 3
    assert "5 more are wanted" in done.output
    assert "nan" not in done.output
    found = json.loads(bench.run("compare", ALIAS, "--json").stdout)
    assert found["noise"]["low"] is None
    assert found["wanted"] == 5


def test_nothing_that_ran_is_an_error_that_says_what_to_do(bench: Bench) -> None:
    done = bench.run("compare", ALIAS)
    assert done.exit_code == 1
    assert "dicom-node model shadow" in done.output
    bench.set()
    done = bench.run("compare", ALIAS)
    assert done.exit_code == 3
    assert "8 more are wanted" in done.output


def test_a_version_that_does_not_exist_is_not_compared(bench: Bench) -> None:
    bench.set()
    bench.measure(12)
    done = bench.run("compare", ALIAS, "--shadow", "toy-ct@9.9.9")
    assert done.exit_code == 1, done.output
    assert "there is no model toy-ct@9.9.9" in " ".join(done.output.split())


def test_setting_a_shadow_anew_begins_anew(bench: Bench) -> None:
    bench.set()
    bench.measure(12, 1.3)
    bench.set("--share", "1")
    bench.measure(9)
    found = json.loads(bench.run("compare", ALIAS, "--json").stdout)
    assert (found["series"], found["conclusion"]) == (9, "less noise")
    found = json.loads(bench.run("compare", ALIAS, "--json", "--all").stdout)
    assert found["images"] == 21


def test_what_ran_last_is_compared_after_the_shadow_was_ended_or_promoted(bench: Bench) -> None:
    bench.set()
    bench.measure(9)
    bench.run("shadow", "--off", "toy-ct", "--why", "seen enough")
    assert bench.run("compare", ALIAS).exit_code == 0
    assert bench.run("compare", ALIAS, "--shadow", NEW).exit_code == 0
    with bench.ledger.write() as unit:
        alias_moves.move(
            unit, ModelName.parse(ALIAS), ModelName.parse(NEW), expected=ModelName.parse(OLD),
            action="promote", who="a@b", why="better",
        )  # fmt: skip
    done = bench.run("compare", ALIAS)
    assert done.exit_code == 0, done.output
    assert f"{NEW} against {OLD}" in done.output

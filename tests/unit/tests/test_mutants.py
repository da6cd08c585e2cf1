"""The runner of mutants: what it changes, what it draws, and that it sees what tests see."""

from __future__ import annotations

import ast
import importlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.mutants import score
from tests.mutants.__main__ import COUNT, SEED, mutants_in, run
from tests.mutants.areas import AREAS, Area
from tests.mutants.mutant import Mutant, mutants_of, planted, sample
from tests.mutants.operators import changes
from tests.mutants.planting import Unplantable, function_of, plant_here


def of(text: str) -> set[tuple[str, str]]:
    """Before and after of every change of a function's body."""
    indented = "".join(f"    {line}\n" for line in text.splitlines())
    return {(c.before, c.after) for c in changes(ast.parse(f"def f():\n{indented}"))}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("return a < b", {("a < b", "a <= b")}),
        ("return a is not b", {("a is not b", "a is b")}),
        ("return a == 'x'", {("a == 'x'", "a != 'x'"), ("a == 'x'", "a == 'x~'")}),
        ("return a + 1", {("a + 1", "a - 1"), ("1", "2")}),
        ("return a and b", {("a and b", "a or b"), ("a and b", "a"), ("a and b", "b")}),
        ("return not a", {("not a", "a")}),
        ("return min(a, b)", {("min(a, b)", "max(a, b)")}),
        ("return abs(a)", {("abs(a)", "a")}),
        ("return q.where(a)", {("q.where(a)", "q")}),
        ("return q.where(a, b)", {("q.where(a, b)", "q"), ("a", "(left out)"),
                                  ("b", "(left out)")}),
        ("return a in (b, c)", {("a in (b, c)", "a not in (b, c)"), ("b", "(left out)"),
                                ("c", "(left out)")}),
        ("return [x for x in a if x]", {("if x", "(no filter)")}),
        ("return f(a, k=b)", {("k=b", "(left out)")}),
        ("return b if a else c", {("b if a else c", "c if a else b")}),
        ("if a:\n    return 7\nreturn b", {("a", "not a"), ("return 7", "pass"), ("7", "8")}),
        ("a.b = c", {("a.b = c", "pass")}),
        ("a += 2", {("a += 2", "pass"), ("2", "3")}),
        ("f()\ng()", {("f()", "pass"), ("g()", "pass"), ("f(); g()", "g(); f()")}),
        ("raise E('text', 1)", {("raise E('text', 1)", "pass")}),
        ("for a in b:\n    continue", {("continue", "break")}),
        ("try:\n    return a\nexcept E:\n    return b",
         {("except E: ...", "raise"), ("return a", "pass"), ("return b", "pass")}),
        ("'what it does'\nself._log.info('text', a=1)\nimport x", set()),
        ("return f'{a + 1}'", set()),
        ("a: int | None = b", set()),
        ("return self.root / 'x'", set()),
        ("T = TypeVar('T', bound=1)", set()),
    ],
)  # fmt: skip
def test_what_is_changed(text: str, expected: set[tuple[str, str]]) -> None:
    assert of(text) == expected


def test_tables_at_the_top_lose_an_entry() -> None:
    found = {(c.before, c.after) for c in changes(ast.parse("TABLE = {a: b, c: d}\nMOST = 256"))}
    assert found == {("a: b", "(left out)"), ("c: d", "(left out)"), ("256", "0")}


TOY = '''
"""A module to be changed."""
from contextlib import contextmanager

LIMIT = 3

class Box:
    """Holds a number."""

    def __init__(self, number=0):
        self.number = number

    @property
    def small(self):
        return self.number <= LIMIT

    @contextmanager
    def open(self):
        self.number += 1
        yield self

def total(numbers):
    return sum(n for n in numbers if n > 0)

def unused():
    return 1 + 1

def endless(n):
    while n > 0:
        n -= 1
    return n
'''
TESTS = """
import toymodule
from toymodule import Box, endless, total

def test_box():
    assert Box(3).small and not Box(4).small
    assert toymodule.LIMIT == 3

def test_open():
    with Box(1).open() as box:
        assert box.number == 2

def test_total():
    assert total([1, 0, 2]) == 3

def test_endless():
    assert endless(2) == 0
"""


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "toymodule.py").write_text(TOY)
    (tmp_path / "test_toy.py").write_text(TESTS)
    paths = [str(tmp_path), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    sys.modules.pop("toymodule", None)


def named(where: str, after: str) -> Mutant:
    (found,) = [m for m in mutants_of("toymodule") if (m.where, m.after) == (where, after)]
    return found


@pytest.mark.usefixtures("toy")
def test_a_planted_change_is_the_only_one() -> None:
    mutant = named("total", "(no filter)")
    before = ast.unparse(ast.parse(TOY))
    after = ast.unparse(planted(mutant, ast.parse(TOY)))
    assert after == before.replace("for n in numbers if n > 0", "for n in numbers")


@pytest.mark.usefixtures("toy")
def test_functions_are_changed_where_they_are() -> None:
    module: Any = importlib.import_module("toymodule")
    box = module.Box(3)
    assert box.small
    plant_here(named("Box.small", "self.number < LIMIT"))
    assert not box.small
    plant_here(named("Box.open", "pass"))
    with box.open():
        assert box.number == 3


@pytest.mark.usefixtures("toy")
@pytest.mark.parametrize("where", ["", "Box.__init__"])
def test_what_only_an_import_can_change_is_said_so(where: str) -> None:
    importlib.import_module("toymodule")
    mutant = next(
        each for each in mutants_of("toymodule") if each.where == where and each.kind == "constant"
    )
    with pytest.raises(Unplantable):
        plant_here(mutant)


@pytest.mark.usefixtures("toy")
def test_the_functions_of_a_mutant_are_the_outermost() -> None:
    assert function_of(named("Box.small", "self.number < LIMIT")) == "Box.small"
    assert function_of(named("", "4")) is None


@pytest.mark.usefixtures("toy")
def test_a_sample_is_always_the_same_and_edits_elsewhere_leave_it() -> None:
    everything = mutants_of("toymodule")
    some = sample(everything, 5, seed=1)
    assert sample(everything[::-1], 5, seed=1) == some
    assert sample(everything, 5, seed=2) != some
    assert sample([each for each in everything if each not in some[:1]], 5, seed=1)[:4] == some[1:]
    assert len({each.key for each in everything}) == len(everything)


def test_what_tests_notice_is_killed_and_what_they_do_not_survives(toy: Path) -> None:
    wanted = {
        named("Box.small", "self.number < LIMIT"): "killed by",
        named("total", "n >= 0"): "survived",  # 0 more or less is no sum
        named("total", "(no filter)"): "survived",
        named("unused", "1 - 1"): "unreached",
        named("", "4"): "killed by",  # of a process that imports it
        named("endless", "n >= 0"): "killed",
        named("endless", "pass"): "killed",  # never ends
    }
    area = Area("toy", ("toymodule",), (str(toy / "test_toy.py"),))
    verdicts = run(area, list(wanted), 2, seconds=15)
    assert {key: verdicts[key].startswith(wanted_) for key, wanted_ in
            ((each.key, verdict) for each, verdict in wanted.items())} == {
        each.key: True for each in wanted
    }  # fmt: skip


def test_tests_that_fail_by_themselves_are_no_measure(toy: Path) -> None:
    (toy / "test_toy.py").write_text(TESTS + "\n\ndef test_bad():\n    assert total([]) == 1\n")
    area = Area("toy", ("toymodule",), (str(toy / "test_toy.py"),))
    with pytest.raises(SystemExit, match="test_bad"):
        run(area, [named("total", "n >= 0")], 1)


def test_equivalent_mutants_do_not_count() -> None:
    verdicts = {"a": "killed by x", "b": "survived", "c": "unreached", "d": "survived"}
    found = score.Score(100, verdicts, frozenset({"d"}))
    assert (found.killed, len(found.counted), found.survivors) == (1, 3, ["b", "c"])
    assert found.part == pytest.approx(1 / 3)


def test_every_area_has_code_and_tests() -> None:
    root = Path(__file__).resolve().parents[3]
    for area in AREAS:
        assert len(mutants_in(area)) >= 50, area.name
        assert [each for each in area.tests if not (root / each).exists()] == []


def test_every_equivalent_mutant_has_its_reason() -> None:
    assert all(len(reason) > 20 for reason in score.equivalents().values())


def test_the_score_that_was_kept_is_of_every_area_high_and_adds_up() -> None:
    """An area whose code has moved since is run again by whoever moved it."""
    kept = json.loads(score.SCORE.read_text(encoding="utf-8"))
    assert kept["seed"] == SEED
    assert set(kept["areas"]) == {area.name for area in AREAS}
    for name, area in kept["areas"].items():
        assert area["counted"] >= COUNT, name
        assert area["killed"] + len(area["survived"]) == area["counted"], name
        assert area["killed"] / area["counted"] >= score.ASKED, name
        assert set(area["equivalent"]) <= score.equivalents().keys(), name


def test_the_documentation_shows_the_score_that_was_kept() -> None:
    page = (Path(__file__).resolve().parents[3] / "CONTRIBUTING.md").read_text(encoding="utf-8")
    kept = json.loads(score.SCORE.read_text(encoding="utf-8"))["areas"]
    shown = [
        tuple(cell.strip() for cell in line.strip("|").split("|"))
        for line in page.partition("<!-- mutants -->")[2].partition("\n\n")[0].strip().splitlines()
    ]
    assert [(name, killed, percent) for name, _, killed, percent in shown[2:]] == [
        (area.name, f"{one['killed']} of {one['counted']}", f"{one['percent']:g} %")
        if one
        else (area.name, "not run", "")
        for area in AREAS
        for one in [kept.get(area.name)]
    ]

"""The documentation says what the code does."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from dicom_node.cli import app
from dicom_node.ledger.states import WorkEvent
from dicom_node.settings import RouteSettings, Settings
from docs.generate import outdated
from docs.pages.states import EVENTS

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "deploy").rglob("*.md")]
)


def page_name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_reference_pages_are_those_of_the_code() -> None:
    assert outdated() == [], "make docs-generate writes them again"


def test_every_event_of_a_work_item_is_explained() -> None:
    assert set(EVENTS) == set(WorkEvent)


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_every_link_leads_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    targets = re.findall(r"\]\(([^)\s#]+)(?:#[^)]*)?\)", text)
    missing = [
        target for target in targets
        if "://" not in target and not (page.parent / target).exists()
    ]  # fmt: skip
    assert missing == []


def toml_blocks() -> list[tuple[str, str]]:
    found = []
    for page in PAGES:
        blocks = re.findall(r"```toml\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
        found += [(f"{page_name(page)}-{n}", block) for n, block in enumerate(blocks)]
    return found


@pytest.mark.parametrize("block", [pytest.param(b, id=name) for name, b in toml_blocks()])
def test_configuration_in_the_text_is_accepted(block: str, tmp_path: Path) -> None:
    data = tomllib.loads(block)
    if "data" in data or "extends" in data:
        accept_recipe(block, data, tmp_path / "own.toml")
        return
    if data.keys().isdisjoint(Settings.model_fields):  # lines of one route
        RouteSettings(**{"name": "r", "model": "m@a", "destinations": ["pacs"], **data})
        return
    known = {one["name"] for one in data.get("destinations", ())}
    used = {name for route in data.get("routes", ()) for name in route["destinations"]}
    data.setdefault("destinations", []).extend(
        {"name": name, "ae_title": "X", "host": "127.0.0.1"} for name in used - known
    )
    Settings(**data)


def accept_recipe(block: str, data: dict[str, Any], path: Path) -> None:
    """A recipe, its [data] alone, or what replaces keys of another."""
    pytest.importorskip("torch")
    from model_store.evaluation.pairs import read_section  # noqa: PLC0415
    from model_store.training.recipe import Recipe  # noqa: PLC0415
    from model_store.training.recipe_file import RECIPES, merged, read_toml  # noqa: PLC0415

    path.write_text(block, encoding="utf-8")
    if "extends" in data:
        Recipe.read(path)
    elif "kind" in data["data"]:
        read_section(path)
    else:
        Recipe.resolve(merged(read_toml(RECIPES / "n2n-mse-xray.toml"), data), str(path))


def known_commands() -> set[str]:
    def walk(command: object, words: tuple[str, ...]) -> set[str]:
        children = getattr(command, "commands", {})
        found = {" ".join(words)}
        for name, child in children.items():
            found |= walk(child, (*words, name))
        return found

    return walk(get_command(app), ("dicom-node",))


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_every_command_in_the_text_exists(page: Path) -> None:
    known = known_commands()
    text = page.read_text(encoding="utf-8")
    code = "\n".join(code_in(text))
    used = re.findall(r"(?:^|bin/)dicom-node((?: [a-z]+)+)", code, re.MULTILINE)
    wrong = set()
    for words in used:
        group, *rest = words.split()
        is_group = any(each.startswith(f"dicom-node {group} ") for each in known)
        command = f"dicom-node {group} {rest[0]}" if is_group and rest else f"dicom-node {group}"
        if command not in known:
            wrong.add(words)
    assert not wrong


def code_in(text: str) -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    outside = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    return [*blocks, *re.findall(r"`([^`\n]+)`", outside)]


def test_every_make_target_in_the_text_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    used = set()
    for page in PAGES:
        for code in code_in(page.read_text(encoding="utf-8")):
            for words in re.findall(r"(?<!model-store )\bmake ((?:[a-z-]+ ?)+)", code):
                used |= set(words.split())
    assert used <= targets


def test_every_run_time_dependency_is_explained() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    page = (ROOT / "docs" / "decisions" / "0002-dependencies.md").read_text(encoding="utf-8")
    names = {re.split(r"[\[<>=~!]", each)[0] for each in project["dependencies"]}
    assert {name for name in names if not re.search(rf"\b{re.escape(name)}\b", page)} == set()


def test_the_readme_names_the_two_commands() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "make demo" in text
    assert "make test" in text


def test_what_must_always_hold_is_tested_by_its_number() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    section = page.partition("## What must always hold")[2].partition("\n## ")[0]
    numbers = {int(each) for each in re.findall(r"^(\d+)\. ", section, flags=re.MULTILINE)}
    tests = (ROOT / "tests").rglob("test_*.py")
    marks = "".join(each.read_text(encoding="utf-8") for each in tests)
    assert numbers == {int(each) for each in re.findall(r"mark\.holds\(number=(\d+)\)", marks)}
    assert numbers == set(range(1, 15))

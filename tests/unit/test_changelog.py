"""What is released has its own section of the changelog, with the day."""

from __future__ import annotations

import re
import tomllib
from datetime import date
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_version_that_the_package_states_is_dated() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    sections = re.findall(r"(?m)^## \[(.+?)\](?: - (\S+))?$", text)
    assert sections[0] == ("Unreleased", "")
    (version, day), *_ = sections[1:]
    assert version == project["version"]
    assert date.fromisoformat(day) <= date.today()
    days = [date.fromisoformat(each) for _, each in sections[1:]]
    assert days == sorted(days, reverse=True)

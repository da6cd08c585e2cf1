"""Write the reference pages that are made from the code, or check that they are up to date.

Usage: ``python -m docs.generate [--check]``. With ``--check`` nothing is written; the exit status
is 1 if a page differs from what the code says now.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from docs.pages.command_line import command_line
from docs.pages.configuration import configuration, schema
from docs.pages.models import models
from docs.pages.operators import operators
from docs.pages.services import services
from docs.pages.states import states

REFERENCE = Path(__file__).resolve().parent / "reference"

PAGES: dict[str, Callable[[], str]] = {
    "configuration.md": configuration,
    "node.schema.json": schema,
    "states.md": states,
    "services.md": services,
    "command-line.md": command_line,
    "models.md": models,
    "operators.md": operators,
}


def outdated() -> list[str]:
    """Return the names of pages that differ from what the code says."""
    return [
        name
        for name, make in PAGES.items()
        if not (REFERENCE / name).is_file()
        or (REFERENCE / name).read_text(encoding="utf-8") != make()
    ]


def main() -> int:
    """Write or check the pages."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="only say which pages are outdated")
    if parser.parse_args().check:
        names = outdated()
        for name in names:
            sys.stderr.write(
                f"docs/reference/{name} is not what the code says: make docs-generate\n"
            )
        return 1 if names else 0
    REFERENCE.mkdir(exist_ok=True)
    for name, make in PAGES.items():
        (REFERENCE / name).write_text(make(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

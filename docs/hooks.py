"""Build hooks: pages that exist come into the navigation, decisions are listed by their titles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

MARK = "<!-- decisions -->"


def decisions(docs: Path) -> list[tuple[str, str]]:
    """Return title and file name of every decision, in order of number."""
    pages = sorted((docs / "decisions").glob("[0-9][0-9][0-9][0-9]-*.md"))
    return [
        (page.read_text(encoding="utf-8").split("\n", 1)[0].lstrip("# "), page.name)
        for page in pages
    ]


def _navigation(entries: list[Any], docs: Path) -> list[Any]:
    kept: list[Any] = []
    for entry in entries:
        ((title, target),) = entry.items()
        if isinstance(target, list):
            kept.append({title: _navigation(target, docs)})
        elif target == "decisions/":
            pages = [{name: f"decisions/{file}"} for name, file in decisions(docs)]
            kept.append({title: ["decisions/index.md", *pages]})
        elif (docs / target).is_file():
            kept.append(entry)
    return kept


def on_config(config: Any) -> Any:
    """Complete the navigation from the files that are there."""
    config["nav"] = _navigation(config["nav"], Path(config["docs_dir"]))
    return config


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Put the list of decisions where its page asks for it."""
    if MARK not in markdown:
        return markdown
    rows = [f"- [{title}]({name})" for title, name in decisions(Path(config["docs_dir"]))]
    return markdown.replace(MARK, "\n".join(rows))

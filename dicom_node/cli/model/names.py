"""Completion of version and alias names in a shell: quick, silent, and never an error."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy.exc import SQLAlchemyError

from dicom_node.errors import NodeError
from model_store.errors import ModelStoreError


def versions(context: typer.Context, incomplete: str) -> list[str]:
    """Names of versions that start so; folders are listed, no file is read."""
    return _quietly(lambda: _starting(_version_names(_config(context)), incomplete))


def aliases(context: typer.Context, incomplete: str) -> list[str]:
    """Names of aliases that start so."""
    return _quietly(lambda: _starting(_alias_names(_config(context)), incomplete))


def both(context: typer.Context, incomplete: str) -> list[str]:
    """Names of versions and aliases that start so."""
    return sorted({*versions(context, incomplete), *aliases(context, incomplete)})


def _quietly(look: Callable[[], list[str]]) -> list[str]:
    try:
        return look()
    except (NodeError, ModelStoreError, SQLAlchemyError, OSError):
        return []  # whoever presses the tab key wants no message; the command itself gives it


def _starting(names: Iterable[str], incomplete: str) -> list[str]:
    return sorted({name for name in names if name.startswith(incomplete)})


def _config(context: typer.Context) -> Path | None:
    found = context.params.get("config")
    return Path(str(found)) if found is not None else None


def _version_names(config: Path | None) -> Iterable[str]:
    from dicom_node.models import Models  # noqa: PLC0415
    from dicom_node.settings import load  # noqa: PLC0415
    from model_store.store import packaged_zoo  # noqa: PLC0415

    own = Models.without_ledger(load(config)).folder
    for folder in (packaged_zoo(), own):
        for manifest in folder.glob("*/*/manifest.json"):
            yield f"{manifest.parent.parent.name}@{manifest.parent.name}"


def _alias_names(config: Path | None) -> Iterable[str]:
    from dicom_node.models import Models  # noqa: PLC0415
    from dicom_node.settings import load  # noqa: PLC0415

    return map(str, Models.at_hand(load(config)).aliases())


VersionArgument = Annotated[
    str,
    typer.Argument(
        metavar="NAME@VERSION", help="Model version.", autocompletion=versions, show_default=False
    ),
]
AliasArgument = Annotated[
    str,
    typer.Argument(
        metavar="LABEL@ALIAS", help="Alias.", autocompletion=aliases, show_default=False
    ),
]
PromotedOption = Annotated[
    str | None,
    typer.Option(
        "--to",
        metavar="LABEL@ALIAS",
        autocompletion=aliases,
        show_default=False,
        help="Alias that is to stand for it; absent: NAME@production.",
    ),
]

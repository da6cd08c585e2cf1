"""The commands ``model-store export``, ``golden`` and ``pack``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from model_store.cli.console import failed
from model_store.cli.trust import version_folder
from model_store.errors import ModelStoreError
from model_store.store import ModelVersion, packaged_zoo
from model_store.trust.signature import SIGNATURE

_ZOO = packaged_zoo()


def export(
    run: Annotated[Path, typer.Argument(help="folder of a training run")],
    zoo: Annotated[Path, typer.Option(help="folder of model versions")] = _ZOO,
    version: Annotated[str | None, typer.Option(help="another version than the recipe's")] = None,
    key: Annotated[Path | None, typer.Option(help="private key file to sign with")] = None,
) -> None:
    """Write the averaged weights of a run as a model version, golden outputs and card with it."""
    from model_store.training.release import release  # noqa: PLC0415
    from model_store.trust.key import PrivateKey  # noqa: PLC0415
    from model_store.trust.signature import sign  # noqa: PLC0415

    console = Console()
    try:
        private = PrivateKey.read(key) if key is not None else None
        folder = release(run, zoo, version=version)
        if private is not None:
            sign(ModelVersion.open(folder), private)
    except ModelStoreError as error:
        raise failed(console, error) from error
    console.print(str(folder))


def golden(
    versions: Annotated[
        list[str], typer.Argument(metavar="VERSION", help="NAME@VERSION, one or more")
    ],
    zoo: Annotated[Path, typer.Option(help="folder of model versions")] = _ZOO,
) -> None:
    """Add golden outputs to versions that were exported without; a signed version is refused.

    They are what torch gives for three test images. Nodes compare their engines with them.

    Example: model-store golden drunet-ct@1.0.0
    """
    from model_store.training.release import add_golden  # noqa: PLC0415

    console = Console()
    try:
        for name in versions:
            added = add_golden(version_folder(zoo, name))
            said = "has golden outputs now" if added else "had golden outputs already"
            console.print(f"{name} {said}", highlight=False)
    except ModelStoreError as error:
        raise failed(console, error) from error


def pack(
    version: Annotated[str, typer.Argument(metavar="VERSION", help="NAME@VERSION")],
    out: Annotated[Path, typer.Option(help="zip file, or folder for NAME-VERSION.zip")],
    zoo: Annotated[Path, typer.Option(help="folder of model versions")] = _ZOO,
) -> None:
    """Write a version with its signature into one zip file, for 'dicom-node model import'.

    Every byte is checked first.

    Example: model-store pack own-ct@1.0.0 --zoo zoo --out own-ct-1.0.0.zip
    """
    from model_store import archive  # noqa: PLC0415

    console = Console()
    try:
        packed = ModelVersion.open(version_folder(zoo, version))
        made = archive.pack(packed, out)
    except ModelStoreError as error:
        raise failed(console, error) from error
    signed = (packed.folder / SIGNATURE).is_file()
    said = "" if signed else "; it is not signed: nodes refuse it unless they accept that"
    console.print(f"{packed.ref} written to {made}{said}", highlight=False, soft_wrap=True)

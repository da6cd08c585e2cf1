"""The catalogue of published images: where they are, under which licence, their exact bytes."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Archive:
    """One file of a package index and the DICOM files in it.

    Parameters
    ----------
    name : str
        Short name, also the folder in the cache: ``ct`` or ``dx``.
    project, version, filename : str
        As the package index names them.
    size : int
        Bytes of the archive.
    sha256 : str
        Hexadecimal SHA-256 of the archive.
    title, licence, credit, attribution, changes : str
        What the report says about the images.
    rewrite_identity : bool
        Whether the published header names people and is replaced before sending.
    files : Mapping[str, str]
        Path inside the archive to hexadecimal SHA-256, DICOM files only.
    """

    name: str
    project: str
    version: str
    filename: str
    size: int
    sha256: str
    title: str
    licence: str
    credit: str
    attribution: str
    changes: str
    rewrite_identity: bool
    files: Mapping[str, str]

    @property
    def package(self) -> str:
        """The project and version, as a requirement is written."""
        return f"{self.project}=={self.version}"


def archives() -> tuple[Archive, ...]:
    """Read the catalogue that comes with the package."""
    text = resources.files("dicom_node.demo").joinpath("catalogue.toml").read_text("utf-8")
    return tuple(
        Archive(**{**entry, "files": MappingProxyType(entry["files"])})
        for entry in tomllib.loads(text)["archives"]
    )

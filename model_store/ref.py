"""Names of model versions: an immutable `ModelRef` and the text that a route writes."""

from __future__ import annotations

import re
from dataclasses import dataclass

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_VERSION = re.compile(r"\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def is_alias(tag: str) -> bool:
    """Whether a tag can be an alias: a word that is no version."""
    return _NAME.fullmatch(tag) is not None and _VERSION.fullmatch(tag) is None


@dataclass(frozen=True, slots=True, order=True)
class ModelRef:
    """One immutable model version.

    Parameters
    ----------
    name : str
        Lower-case name, 1 to 63 of ``a-z 0-9 . _ -``.
    version : str
        Semantic version, ``MAJOR.MINOR.PATCH`` with an optional pre-release.
    sha256 : str
        Hexadecimal SHA-256 of the version's ONNX file, the source of truth of its pixels.

    Raises
    ------
    ValueError
        If a part is not of that form.
    """

    name: str
    version: str
    sha256: str

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"model name {self.name!r} is not 1 to 63 of a-z 0-9 . _ -")
        if not _VERSION.fullmatch(self.version):
            raise ValueError(f"model version {self.version!r} is not MAJOR.MINOR.PATCH")
        if not _SHA256.fullmatch(self.sha256):
            raise ValueError(f"sha256 of model {self.name} is not 64 hexadecimal digits")

    def __str__(self) -> str:
        return f"{self.name}@{self.version}"


@dataclass(frozen=True, slots=True)
class ModelName:
    """What a route writes: ``name@alias`` or ``name@version``.

    Parameters
    ----------
    name : str
        Name of a model, or of a default such as ``ct-default``.
    tag : str
        An alias (``production``) or a semantic version.
    """

    name: str
    tag: str

    @classmethod
    def parse(cls, text: str) -> ModelName:
        """Read ``name@tag``.

        Raises
        ------
        ValueError
            If `text` has no ``@`` or either side is empty or malformed.
        """
        name, at, tag = text.partition("@")
        if not at or not _NAME.fullmatch(name) or not tag:
            raise ValueError(f"model {text!r} is not of the form name@alias or name@version")
        if not (_VERSION.fullmatch(tag) or _NAME.fullmatch(tag)):
            raise ValueError(f"model {text!r}: {tag!r} is neither an alias nor a version")
        return cls(name, tag)

    @property
    def is_version(self) -> bool:
        """Whether the tag is a version rather than an alias."""
        return _VERSION.fullmatch(self.tag) is not None

    def __str__(self) -> str:
        return f"{self.name}@{self.tag}"

"""Which model versions exist, and what a name in a route stands for.

A store is one or more folders of this shape, the first being the zoo that comes with the package::

    aliases.toml                        [aliases]
                                        "ct-default@production" = "drunet-ct@1.0.0"
    drl-ct/1.0.0/manifest.json          see `model_store.manifest`
    drl-ct/1.0.0/model.onnx             and whatever else the manifest's ``files`` names

Nothing here imports an engine: a node that only receives and records can resolve names.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files as package_files
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Protocol

from model_store.errors import (
    ManifestError,
    ModelIntegrityError,
    ModelStoreError,
    TrustError,
    UnknownModelError,
)
from model_store.file_names import MANIFEST
from model_store.hashing import file_sha256
from model_store.manifest import Manifest
from model_store.ref import ModelName, ModelRef

_ALIASES = "aliases.toml"
_PICKLES = {".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib", ".npy"}


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One released model version and the folder that holds its files.

    Parameters
    ----------
    ref : ModelRef
        Its immutable name.
    manifest : Manifest
        What it is for and what it takes.
    folder : Path
        Where ``manifest.json`` and the files it names are.

    Raises
    ------
    ManifestError
        If `ref` is not the one that the manifest states.
    ModelIntegrityError
        If the manifest names a file outside the folder, or one that only unpickling could read.
    """

    ref: ModelRef
    manifest: Manifest
    folder: Path

    def __post_init__(self) -> None:
        if self.ref != self.manifest.ref:
            raise ManifestError(
                f"{self.folder}: manifest is of {self.manifest.ref}, not {self.ref}"
            )
        for name in self.manifest.files:
            _refuse_unsafe(name, self.ref)

    @classmethod
    def open(cls, folder: Path) -> ModelVersion:
        """Read the version that `folder` holds; its files are not read yet.

        Raises
        ------
        ManifestError
            If the manifest is missing or malformed.
        ModelIntegrityError
            If it names unsafe files.
        """
        manifest = Manifest.read(folder / MANIFEST)
        return cls(manifest.ref, manifest, folder)

    @property
    def onnx_path(self) -> Path:
        """The ONNX file. Load it through `read`, which checks what it returns."""
        return self.folder / self.manifest.onnx

    def read(self, name: str | None = None) -> bytes:
        """Bytes of one file, after they were found to be the released ones.

        What is checked is what is returned, so nobody can swap the file in between.

        Parameters
        ----------
        name : str, optional
            A key of the manifest's ``files``; the ONNX file if left out.

        Raises
        ------
        ModelIntegrityError
            If the file is not in the manifest, is missing, or differs from what was released.
        """
        name = name or self.manifest.onnx
        expected = self.manifest.files.get(name)
        if expected is None:
            raise ModelIntegrityError(f"{self.ref}: {name} is not in the manifest")
        try:
            data = (self.folder / name).read_bytes()
        except OSError as error:
            raise ModelIntegrityError(
                f"{self.ref}: {name} cannot be read ({error.strerror}); install the model again"
            ) from error
        _compare(self.ref, name, expected, hashlib.sha256(data).hexdigest())
        return data

    def verify(self) -> None:
        """Hash every file again and compare with the manifest.

        Raises
        ------
        ModelIntegrityError
            If a file is missing or differs from what was released.
        """
        for name, expected in self.manifest.files.items():
            try:
                found = file_sha256(self.folder / name)
            except OSError as error:
                raise ModelIntegrityError(
                    f"{self.ref}: {name} cannot be read ({error.strerror}); install the model again"
                ) from error
            _compare(self.ref, name, expected, found)


class Guard(Protocol):
    """Decides which versions a store lets through; `model_store.trust.signed_only` has one."""

    def admit(self, folder: Path) -> ModelVersion:
        """Open the version in a folder, or raise why it may not be used."""


class ModelStore:
    """The model versions in one or more folders.

    Parameters
    ----------
    root : Path, optional
        Folder of the store; the zoo that comes with the package if left out.
    more : sequence of Path
        Further folders. Their aliases win over earlier ones; a version may appear twice only with
        the same bytes.
    guard : Guard, optional
        Opens every version, and refuses those that may not be used; without one every version whose
        files are those of its manifest may.

    Raises
    ------
    ManifestError
        If a root is not a folder.
    """

    def __init__(
        self, root: Path | None = None, more: Sequence[Path] = (), guard: Guard | None = None
    ) -> None:
        self._roots = (root if root is not None else packaged_zoo(), *more)
        self._open = guard.admit if guard is not None else ModelVersion.open
        self._guarded = guard is not None
        for folder in self._roots:
            if not folder.is_dir():
                raise ManifestError(f"model store {folder} is not a folder")

    @property
    def roots(self) -> tuple[Path, ...]:
        """The folders, in the order in which they were given."""
        return self._roots

    def versions(self) -> tuple[ModelVersion, ...]:
        """Every model version, by name, then version; with a guard, those that it lets through.

        Raises
        ------
        ManifestError, ModelIntegrityError
            If a version in the store is malformed, and there is no guard.
        UnknownModelError
            If one is deleted meanwhile, and there is no guard.
        """
        if not self._guarded:
            return tuple(self._version(name.name, name.tag) for name in self._names())
        return tuple(found for _, found in self._tried() if isinstance(found, ModelVersion))

    def refused(self) -> dict[ModelName, ModelStoreError]:
        """The versions that may not be used, and why not."""
        return {name: why for name, why in self._tried() if isinstance(why, ModelStoreError)}

    def aliases(self) -> dict[ModelName, ModelName]:
        """What every alias stands for: ``name@alias`` to ``name@version``.

        Raises
        ------
        ManifestError
            If an ``aliases.toml`` is malformed.
        """
        found: dict[ModelName, ModelName] = {}
        for root in self._roots:
            found.update(_read_aliases(root / _ALIASES))
        return found

    def resolve(self, name: ModelName | str) -> ModelVersion:
        """The version that ``name@version`` or ``name@alias`` stands for now.

        Raises
        ------
        UnknownModelError
            If there is none, or `name` is malformed; the message lists what there is.
        ManifestError, ModelIntegrityError
            If the version is there but malformed.
        TrustError
            If the guard refuses it.
        """
        try:
            wanted = ModelName.parse(name) if isinstance(name, str) else name
        except ValueError as error:
            raise UnknownModelError(str(error)) from error
        target = wanted if wanted.is_version else self.aliases().get(wanted)
        if target is None or not any(self._places(target.name, target.tag)):
            via = f" (which {wanted} stands for)" if target not in (None, wanted) else ""
            raise UnknownModelError(
                f"no model {target or wanted}{via} in the store; there is {self._what_there_is()}"
            )
        return self._version(target.name, target.tag)

    def _version(self, name: str, version: str) -> ModelVersion:
        found = [self._open(folder) for folder in self._places(name, version)]
        if not found:
            raise UnknownModelError(f"model {name}@{version} is gone: it was deleted meanwhile")
        first = found[0]
        if (first.ref.name, first.ref.version) != (name, version):
            raise ManifestError(f"{first.folder} holds {first.ref}, not {name}@{version}")
        if any(other.ref != first.ref for other in found):
            places = ", ".join(str(other.folder) for other in found)
            raise ModelIntegrityError(f"{first.ref} has different bytes in {places}")
        return first

    def _names(self) -> list[ModelName]:
        names = sorted({(name, version) for _, name, version in self._folders()}, key=_by_version)
        return [ModelName(name, version) for name, version in names]

    def _tried(self) -> Iterator[tuple[ModelName, ModelVersion | ModelStoreError]]:
        for name in self._names():
            try:
                yield name, self._version(name.name, name.tag)
            except (ManifestError, ModelIntegrityError, TrustError) as error:
                yield name, error
            except UnknownModelError:  # deleted since the names were listed
                continue

    def _places(self, name: str, version: str) -> Iterator[Path]:
        for root in self._roots:
            if (root / name / version / MANIFEST).is_file():
                yield root / name / version

    def _folders(self) -> Iterator[tuple[Path, str, str]]:
        for root in self._roots:
            for manifest in root.glob(f"*/*/{MANIFEST}"):
                yield manifest.parent, manifest.parent.parent.name, manifest.parent.name

    def _what_there_is(self) -> str:
        names = [f"{name}@{version}" for _, name, version in self._folders()]
        names += [str(alias) for alias in self.aliases()]
        return ", ".join(sorted(set(names))) or "nothing"


def packaged_zoo() -> Path:
    """Folder of the models that come with the package."""
    return Path(str(package_files("model_store") / "zoo"))


def _read_aliases(path: Path) -> dict[ModelName, ModelName]:
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8")).get("aliases", {})
    except FileNotFoundError:
        return {}
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ManifestError(f"{path}: {error}") from error
    if not isinstance(table, dict):
        raise ManifestError(f"{path}: [aliases] must be a table")
    found = {}
    for alias, target in table.items():
        try:
            left, right = ModelName.parse(alias), ModelName.parse(str(target))
        except ValueError as error:
            raise ManifestError(f"{path}: {error}") from error
        if left.is_version or not right.is_version:
            raise ManifestError(f"{path}: {alias!r} must be an alias and {target!r} a version")
        found[left] = right
    return found


def _refuse_unsafe(name: str, ref: ModelRef) -> None:
    plain = PurePosixPath(name).name == name and PureWindowsPath(name).name == name
    if not plain or name in {"", ".", ".."} or "\0" in name or ":" in name:
        raise ModelIntegrityError(f"{ref}: {name!r} is not a plain file name")
    if PurePosixPath(name).suffix.lower() in _PICKLES:
        raise ModelIntegrityError(f"{ref}: {name!r} is of a kind that is read by unpickling")


def _compare(ref: ModelRef, name: str, expected: str, found: str) -> None:
    if expected.lower() != found:
        raise ModelIntegrityError(
            f"{ref}: {name} has sha256 {found[:12]}..., not {expected[:12]}... as released; "
            "install the model again"
        )


def _by_version(item: tuple[str, str]) -> tuple[str, tuple[int, ...], bool, str]:
    name, version = item
    core, _, pre = version.partition("-")
    numbers = tuple(int(part) for part in core.split(".") if part.isdigit())
    return name, numbers, not pre, pre

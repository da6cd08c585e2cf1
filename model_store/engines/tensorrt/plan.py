"""Plans on disk: built here, checked before TensorRT sees a byte of them.

Loading a plan is running native code. So a plan is taken only from a folder that belongs to this
user alone, only with the key of this moment, and only with the bytes that were written::

    DEVICE/KEY.plan     the serialised engine
    DEVICE/KEY.json     parts of the key, sha256 of the plan
    DEVICE/timings      TensorRT's timing cache
    DEVICE/lock         held while a plan is built, so that one process builds and the rest wait
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from model_store.engines.tensorrt.key import PlanKey
from model_store.engines.tensorrt.network import BuildOutput
from model_store.errors import EngineError
from model_store.locking import locked

_OTHERS: Final = stat.S_IWGRP | stat.S_IWOTH
_PRIVATE: Final = 0o700
_SERVICE_CACHE: Final = Path("/var/cache/dicom-node")
"""As ``CacheDirectory=`` in deploy/systemd has it."""

Build = Callable[[bytes], BuildOutput]
"""Builds a plan; gets the device's timing cache, empty if there is none."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan that may be handed to TensorRT.

    Parameters
    ----------
    key : PlanKey
    data : bytes
        The serialised engine, as checked.
    sha256 : str
        Of `data`.
    story : str
        ``built``, ``from the cache``, or why the one in the cache was not taken; and why a new one
        could not be kept.
    """

    key: PlanKey
    data: bytes
    sha256: str
    story: str


class _Refused(Exception):
    """A plan on disk is not taken; the message says why."""


class PlanCache:
    """Plans in a folder of this user's own.

    Parameters
    ----------
    folder : Path
        Made if it is not there, for this user alone.

    Raises
    ------
    EngineError
        If the folder cannot be made, belongs to somebody else, or others may write to it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._own(folder)

    def get(self, key: PlanKey, build: Build) -> Plan:
        """The plan with this key: from the cache, or built now and kept.

        Of several processes that ask at once, one builds and the others wait for it.

        Raises
        ------
        EngineError
            If the cache's folder or lock cannot be made, or `build` fails. A plan that was built
        and cannot be written is returned all the same.
        """
        device = self._folder / key.device
        self._own(device)
        path = device / f"{key.digest}.plan"
        try:
            with locked(device / "lock"):
                return self._get(key, build, path)
        except OSError as error:
            raise EngineError(f"plan cache {device}: {error.strerror or error}") from error

    def _get(self, key: PlanKey, build: Build, path: Path) -> Plan:
        story = "built"
        if path.exists() or path.with_suffix(".json").exists():
            try:
                data, sha256 = _read(path, key)
            except _Refused as error:
                story = f"built again: {error}"
            else:
                return Plan(key, data, sha256, "from the cache")
        timings = path.parent / "timings"
        built = build(_own_bytes(timings))
        sha256 = hashlib.sha256(built.plan).hexdigest()
        note = {"key": key.digest, "parts": dict(key.parts), "plan_sha256": sha256}
        try:
            path.with_suffix(".json").unlink(missing_ok=True)
            _write(path, built.plan)
            _write(path.with_suffix(".json"), json.dumps(note, indent=2).encode() + b"\n")
            if built.timings:
                _write(timings, built.timings)
        except OSError as error:  # a full disk must not stop what was just built
            story += f"; not kept: {error.strerror or error}"
        return Plan(key, built.plan, sha256, story)

    @staticmethod
    def _own(folder: Path) -> None:
        try:
            folder.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
            found = folder.lstat()
        except OSError as error:
            raise EngineError(f"plan cache {folder}: {error.strerror or error}") from error
        if not stat.S_ISDIR(found.st_mode) or not _is_ours(found):
            raise EngineError(
                f"plan cache {folder} must be a folder of this user's that nobody else may write "
                "to: a plan is native code"
            )


@dataclass(frozen=True, slots=True)
class PlanOnDisk:
    """A plan on disk, as its note describes it.

    Parameters
    ----------
    key : str
        Digest of its `PlanKey`.
    parts : mapping of str to str
        The key's parts.
    size : int
        Bytes.
    intact : bool
        Whether it is this user's own and has the bytes that were built.
    """

    key: str
    parts: Mapping[str, str]
    size: int
    intact: bool


def kept_plans(folder: Path) -> tuple[PlanOnDisk, ...]:
    """The plans in a cache; nothing is made, and nothing is handed to TensorRT.

    A file that is no note of this user's is passed over.
    """
    found = []
    for path in sorted(folder.glob("*/*.json")):
        try:
            note: Any = json.loads(_own_bytes(path) or b"null")
        except ValueError:
            continue
        if not isinstance(note, dict) or not isinstance(note.get("parts"), dict):
            continue
        data = _own_bytes(path.with_suffix(".plan"))
        intact = bool(data) and hashlib.sha256(data).hexdigest() == note.get("plan_sha256")
        parts = {str(name): str(value) for name, value in note["parts"].items()}
        found.append(PlanOnDisk(str(note.get("key", "")), parts, len(data), intact))
    return tuple(found)


def default_folder() -> Path:
    """Where plans are kept unless told otherwise.

    The service manager's cache folder (``CACHE_DIRECTORY``), also for a command that the service's
    user runs outside of it, else the user's (``XDG_CACHE_HOME``, ``~/.cache``).
    """
    if service := os.environ.get("CACHE_DIRECTORY", "").partition(":")[0]:
        return Path(service, "plans")
    with suppress(OSError):
        if _SERVICE_CACHE.stat().st_uid == os.geteuid():
            return _SERVICE_CACHE / "plans"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "dicom-node", "plans")


def _is_ours(found: os.stat_result) -> bool:
    return found.st_uid == os.geteuid() and not found.st_mode & _OTHERS


def _read(path: Path, key: PlanKey) -> tuple[bytes, str]:
    """Bytes of a plan, checked as they are returned."""
    try:
        note: Any = json.loads(_own_bytes(path.with_suffix(".json")) or b"null")
    except ValueError as error:
        raise _Refused("its note is not JSON") from error
    if not isinstance(note, dict):
        raise _Refused("it has no note of this user's")
    if note.get("key") != key.digest or note.get("parts") != dict(key.parts):
        raise _Refused("it was built from or for something else")
    data = _own_bytes(path)
    if not data:
        raise _Refused("it is missing, empty or not this user's")
    sha256 = hashlib.sha256(data).hexdigest()
    if note.get("plan_sha256") != sha256:
        raise _Refused("its bytes are not the ones that were built")
    return data, sha256


def _own_bytes(path: Path) -> bytes:
    """Bytes of a regular file that only this user may write; empty if it is none."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return b""
    with open(handle, "rb") as stream:  # noqa: PTH123 -- a descriptor, not a path
        found = os.fstat(handle)
        return stream.read() if stat.S_ISREG(found.st_mode) and _is_ours(found) else b""


def _write(path: Path, data: bytes) -> None:
    """Write a file so that it is whole or not there, also after a power cut."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".writing-")
    try:
        with open(handle, "wb") as stream:  # noqa: PTH123 -- a descriptor, not a path
            stream.write(data)
            stream.flush()
            os.fsync(handle)
        Path(name).replace(path)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise

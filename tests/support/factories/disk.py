"""Records what is asked of the disk, in order; what was asked is done all the same."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import pytest


class Recorder:
    """The calls that make files of one spool durable, as ``(what, folder of the spool)``.

    ``write`` is what reaches the operating system, not what waits in a buffer.

    Parameters
    ----------
    monkeypatch : pytest.MonkeyPatch
    root : Path
        Of the spool; calls elsewhere are not recorded.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
        self.events: list[tuple[str, str]] = []
        self._root = root
        for name in ("fsync", "fdatasync"):
            monkeypatch.setattr(os, name, self._synced(name, getattr(os, name)))
        monkeypatch.setattr(os, "rename", self._renamed(os.rename))
        monkeypatch.setattr(Path, "open", self._opened(Path.open))

    def note(self, what: str) -> None:
        """Record something that is not of the disk."""
        self.events.append((what, ""))

    @property
    def order(self) -> list[tuple[str, str]]:
        """The events, each run of equal ones as one."""
        kept: list[tuple[str, str]] = []
        for event in self.events:
            if not kept or kept[-1] != event:
                kept.append(event)
        return kept

    def _place(self, path: str | Path) -> str | None:
        """The folder of the spool that a path is in, or is."""
        path = Path(path)
        if not path.is_relative_to(self._root):
            return None
        return (path.relative_to(self._root).parts or (".",))[0]

    def _add(self, what: str, path: str | Path) -> None:
        place = self._place(path)
        if place is not None:
            self.events.append((what, place))

    def _synced(self, name: str, real: Any) -> Any:
        def synced(descriptor: int) -> None:
            path = Path(f"/proc/self/fd/{descriptor}").readlink()
            folder = path.is_dir()
            real(descriptor)
            self._add("sync folder" if folder else f"sync {name}", path)

        return synced

    def _renamed(self, real: Any) -> Any:
        def renamed(source: str | Path, target: str | Path, **how: Any) -> None:
            real(source, target, **how)
            self._add("rename", target)

        return renamed

    def _opened(self, real: Any) -> Any:
        recorder = self

        class Raw(io.FileIO):
            def write(self, data: Any, /) -> int:
                written = super().write(data)
                recorder._add("write", str(self.name))
                return written

        def opened(path: Path, mode: str = "r", *rest: Any, **how: Any) -> Any:
            if mode != "xb" or recorder._place(path) is None:
                return real(path, mode, *rest, **how)
            return io.BufferedWriter(Raw(path, mode), how.get("buffering", io.DEFAULT_BUFFER_SIZE))

        return opened

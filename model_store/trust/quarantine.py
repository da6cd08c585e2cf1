"""What was found changed, and stays out of use until a person has verified it again.

One small JSON file for each version, in a folder of the node's state: the store itself may be
read-only.
"""

from __future__ import annotations

import json
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from model_store.errors import QuarantinedError, TrustError
from model_store.ref import ModelName
from model_store.strict import Strict

_SUFFIX = ".quarantine.json"


class QuarantineNote(Strict):
    """Why a version is in quarantine.

    Attributes
    ----------
    version : str
        ``name@version``.
    found : datetime
        When, in UTC.
    reason : str
        The error that was found.
    """

    version: str
    found: datetime
    reason: str


class Quarantine:
    """The versions that may not be used.

    Parameters
    ----------
    folder : Path
        Folder of the markers; made when the first is written.
    command : str
        What a person gives a version's name and ``--release`` to, for messages.
    """

    def __init__(self, folder: Path, command: str = "model-store verify") -> None:
        self._folder = folder
        self._command = command

    @property
    def folder(self) -> Path:
        """Where the markers are."""
        return self._folder

    def notes(self) -> tuple[QuarantineNote, ...]:
        """All of them, by version.

        Raises
        ------
        TrustError
            If a marker cannot be read.
        """
        return tuple(_read(path) for path in sorted(self._folder.glob(f"*{_SUFFIX}")))

    def check(self, name: ModelName) -> None:
        """Refuse a version that is in quarantine.

        Raises
        ------
        QuarantinedError
            If it is; the message says since when and why.
        TrustError
            If its marker cannot be read.
        """
        try:
            note = _read(self._place(name))
        except FileNotFoundError:
            return
        raise QuarantinedError(
            f"{name} is in quarantine since {note.found:%Y-%m-%d %H:%M} UTC: {note.reason}; "
            f"install it again, then `{self._command} {name} --release`"
        )

    def put(self, name: ModelName, reason: str) -> None:
        """Remember a version as changed; the first note stays.

        Raises
        ------
        TrustError
            If that cannot be written.
        """
        path = self._place(name)
        note = QuarantineNote(version=str(name), found=datetime.now(UTC), reason=reason)
        text = json.dumps(note.model_dump(mode="json"), indent=2) + "\n"
        try:
            if path.exists():
                return
            self._folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=self._folder, prefix=".") as folder:
                whole = Path(folder) / "marker"
                whole.write_text(text, encoding="utf-8")
                whole.replace(path)
        except OSError as error:
            raise TrustError(
                f"{name} was found changed and cannot be put into quarantine: {path}: "
                f"{error.strerror or error}"
            ) from error

    def note(self, name: ModelName) -> QuarantineNote | None:
        """Why a version is in quarantine (its marker may be damaged too); None if it is not."""
        try:
            return _read(self._place(name))
        except FileNotFoundError:
            return None
        except TrustError as error:
            return QuarantineNote(version=str(name), found=datetime.now(UTC), reason=str(error))

    def release(self, name: ModelName) -> None:
        """Take a version out again, after a person had it verified.

        Raises
        ------
        TrustError
            If its marker cannot be removed.
        """
        try:
            self._place(name).unlink(missing_ok=True)
        except OSError as error:
            raise TrustError(f"{name} stays in quarantine: {error.strerror or error}") from error

    def _place(self, name: ModelName) -> Path:
        return self._folder / f"{name}{_SUFFIX}"


def _read(path: Path) -> QuarantineNote:
    try:
        return QuarantineNote.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise
    except OSError as error:
        raise TrustError(f"{path}: {error.strerror or error}") from error
    except ValidationError as error:
        raise TrustError(f"{path} is damaged; its version stays out of use") from error

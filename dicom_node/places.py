"""Where an exception came from, in words that may be kept: kinds and places, never its text."""

from __future__ import annotations

from pathlib import Path
from traceback import FrameSummary, extract_tb
from typing import Final

_ROOT: Final = Path(__file__).parent.parent
_OURS: Final = ("dicom_node", "workers", "model_store")


def place_of(error: BaseException) -> str:
    """Kind and place of an exception: ``TypeError at workers/load.py:242 in load``.

    Its text may hold values of a patient's object, so it is left out. Where it came out of
    somebody else's code, that place is named, and ours that called it.
    """
    kind = type(error).__name__
    frames = extract_tb(error.__traceback__)
    if not frames:
        return kind
    last = frames[-1]
    ours = next((frame for frame in reversed(frames) if _is_ours(frame)), last)
    called = "" if ours is last else f", called from {_named(ours)}"
    return f"{kind} at {_named(last)}{called}"


def _is_ours(frame: FrameSummary) -> bool:
    path = Path(frame.filename)
    return path.is_relative_to(_ROOT) and path.relative_to(_ROOT).parts[0] in _OURS


def _named(frame: FrameSummary) -> str:
    path = Path(frame.filename)
    short = path.relative_to(_ROOT) if _is_ours(frame) else Path(*path.parts[-2:])
    return f"{short}:{frame.lineno} in {frame.name}"

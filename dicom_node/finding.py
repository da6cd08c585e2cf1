"""One thing that was looked at, and what is to be said of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes
    ----------
    warning : bool
        Whether it is no fault, and yet a person should know.
    """

    what: str
    ok: bool
    message: str
    warning: bool = False

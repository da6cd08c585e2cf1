"""Receives, plans, batches and records: the node itself. ``denoise`` is for arrays in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workers.direct.arrays import denoise

__all__ = ["denoise"]


if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        # Whatever is imported of a node begins with this package: it may bring nothing heavy.
        if name == "denoise":
            from workers.direct.arrays import denoise  # noqa: PLC0415 -- loads engines

            return denoise
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

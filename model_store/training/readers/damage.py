"""The error of whoever reads a file that is not what it should be."""

from __future__ import annotations

from pathlib import Path

from model_store.errors import DataError


def damaged(path: Path, what: str, error: Exception) -> DataError:
    """One line that names the file, says what its reader said, and what to do.

    Parameters
    ----------
    path : Path
        The file.
    what : str
        What it is not, such as ``not a readable CT image``.
    error : Exception
        Of the reader.
    """
    said = " ".join(str(error).split()) or type(error).__name__
    return DataError(f"{path}: {what}: {said}; restore the file, or take it out")

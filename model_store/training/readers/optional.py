"""Packages of the extra ``train`` that are needed for some kinds of files alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from model_store.errors import DataError


@contextmanager
def needed_for(format_: str, package: str) -> Iterator[None]:
    """Import a package that reads files of a format, within.

    Raises
    ------
    DataError
        If it is not installed; names the extra that brings it.
    """
    try:
        yield
    except ImportError as error:
        raise DataError(
            f"{format_} is read by the package {package}, which is not installed ({error}): "
            "pip install 'dicom-node[train]'"
        ) from error

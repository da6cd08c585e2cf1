"""Packages of the extra ``train`` that are needed for some kinds of files alone."""

from __future__ import annotations

from types import ModuleType

from model_store.errors import DataError


def missing(package: str, format_: str, error: ImportError) -> DataError:
    """The error of whoever reads such a file without the package."""
    return DataError(
        f"{format_} is read by the package {package}, which is not installed ({error}): "
        "pip install 'dicom-node[train]'"
    )


def import_h5py() -> ModuleType:
    """Import h5py.

    Raises
    ------
    DataError
        If it is not installed; names the extra that brings it.
    """
    try:
        import h5py  # noqa: PLC0415
    except ImportError as error:
        raise missing("h5py", "HDF5", error) from error
    return h5py  # type: ignore[no-any-return]


def import_nibabel() -> ModuleType:
    """Import nibabel.

    Raises
    ------
    DataError
        If it is not installed; names the extra that brings it.
    """
    try:
        import nibabel  # noqa: PLC0415
    except ImportError as error:
        raise missing("nibabel", "NIfTI", error) from error
    return nibabel

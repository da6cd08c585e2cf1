"""Reading DICOM files so that malformed ones end in one error, and nothing leaks into the logs."""

from __future__ import annotations

import logging
import struct
import warnings
import zlib
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import FileDataset
from pydicom.errors import InvalidDicomError

from dicom_node.errors import RetryLater, UnreadableObject

READ_ERRORS: tuple[type[Exception], ...] = (
    InvalidDicomError,
    ValueError,
    TypeError,
    LookupError,
    NotImplementedError,
    EOFError,
    AttributeError,
    ArithmeticError,
    RecursionError,
    AssertionError,
    struct.error,
    zlib.error,
)
"""What pydicom raises on reading, or on first access of, a malformed object."""


def silence_pydicom() -> None:
    """Keep pydicom from warning and logging: its messages repeat values of attributes.

    Holds for the process from the first call on, so that it is safe in threads. The node's own
    errors say what is wrong with an object, by UID and keyword.
    """
    logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)
    warnings.filterwarnings("ignore", module=r"pydicom(\.|$)")


def read_object(path: Path, *, header_only: bool = False) -> FileDataset:
    """Read a DICOM Part 10 file.

    Parameters
    ----------
    path : Path
        The file.
    header_only : bool
        Whether to stop before the pixel data.

    Returns
    -------
    FileDataset
        The data set with its file meta information, which names a transfer syntax. Values are
        parsed on first access and may then still raise one of `READ_ERRORS`.

    Raises
    ------
    UnreadableObject
        If the bytes are not DICOM, or end in the middle.
    RetryLater
        If the file cannot be read at all.
    """
    silence_pydicom()
    try:
        with path.open("rb") as file:
            dataset = dcmread(file, stop_before_pixels=header_only)
            syntax = dataset.file_meta.get("TransferSyntaxUID")
    except READ_ERRORS as error:
        raise UnreadableObject(f"{path.name}: not a readable DICOM Part 10 file") from error
    except OSError as error:
        raise RetryLater(f"{path.name}: {error.strerror or 'cannot be read'}") from error
    if not syntax:
        raise UnreadableObject(f"{path.name}: the file names no transfer syntax")
    return dataset

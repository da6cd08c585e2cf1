"""Who is in a pair, as a hash: no identifier leaves this module."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from model_store.errors import DataError
from model_store.training.pairs.section import PairsData
from model_store.training.readers.damage import damaged
from model_store.training.readers.dicom import READ_ERRORS, read_data_set
from model_store.training.readers.kinds import FileKind, kind_of

_OF_MANY = frozenset(
    {"", "anon", "anonymized", "anonymised", "anonymous", "deidentified", "none", "null"}
    | {"patient", "patientid", "removed", "unknown"}
)
"""What anonymising writes into the Patient ID of everybody; letters and digits alone."""


def hashed(identifier: str) -> str:
    """What stands for a patient in memory: a hash that is written nowhere."""
    return hashlib.sha256(f"patient {identifier}".encode()).hexdigest()


def patient_of(section: PairsData, path: Path, folder: Path) -> str:
    """Hash of the patient of one file.

    Parameters
    ----------
    section : PairsData
        Says what tells patients apart; not a table's column.
    path, folder : Path
        The file, and the folder of its side.

    Raises
    ------
    DataError
        If nothing tells.
    """
    if section.patient == "dicom":
        return hashed(patient_id(path))
    relative = path.relative_to(folder) if path.is_relative_to(folder) else path
    if section.patient == "file":
        what, name = "file", bare_name(path.name)
    elif len(relative.parts) > 1:
        what, name = "folder", relative.parts[0]
    else:
        raise DataError(
            f"{path}: lies in no folder of a patient below {folder}; make one folder a patient, or "
            'state data.patient = "dicom" or "file"'
        )
    if section.patient_pattern is None:
        return hashed(name)
    found = re.search(section.patient_pattern, name)
    if found is None or not found[1]:
        raise DataError(
            f"{path}: data.patient_pattern {section.patient_pattern!r} finds no patient in the "
            f"{what}'s name"
        )
    return hashed(found[1])


def patient_id(path: Path) -> str:
    """Patient ID (0010,0020) of a DICOM file.

    Raises
    ------
    DataError
        If the file is not DICOM, or its Patient ID is empty or stands for many.
    """
    remedy = 'state data.patient = "folder", "file" or, in a table, "column"'
    kind = kind_of(path)
    if kind is not FileKind.DICOM:
        raise DataError(f"{path}: {kind} holds no Patient ID; {remedy}")
    try:
        found = str(read_data_set(path, ["PatientID"]).get("PatientID") or "").strip()
    except READ_ERRORS as error:
        raise damaged(path, "not readable as DICOM", error) from error
    return known_id(path, found)


def known_id(path: Path, found: str) -> str:
    """The Patient ID of a file, if it tells one patient from another.

    Raises
    ------
    DataError
        If it does not.
    """
    if re.sub(r"[^a-z0-9]", "", found.lower()) in _OF_MANY:
        raise DataError(
            f"{path}: its Patient ID is empty or what anonymising gives to everybody, so patients "
            'cannot be kept apart; state data.patient = "folder", "file" or, in a table, "column"'
        )
    return found


def bare_name(name: str) -> str:
    """A file's name less its suffixes: ``a.nii.gz`` is ``a``, ``1.2.3.dcm`` is ``1.2.3``."""
    known = {".dcm", ".ima", ".gz", ".nii", ".png", ".tif", ".tiff", ".h5", ".hdf5", ".jpg"}
    known |= {".jpeg", ".hdf", ".dicom"}
    path = Path(name)
    while path.suffix.lower() in known:
        path = path.with_suffix("")
    return path.name

"""SOP classes: what comes by C-STORE, and what does not."""

from __future__ import annotations

from typing import Final

from pydicom._uid_dict import UID_dictionary

VERIFICATION: Final = "1.2.840.10008.1.1"

_NOT_BY_C_STORE: Final = frozenset(
    {
        "1.2.840.10008.1.3.10",  # Media Storage Directory: files only
        "1.2.840.10008.1.20.1",  # Storage Commitment, push
        "1.2.840.10008.1.20.2",  # Storage Commitment, pull
    }
)


def is_storage(sop_class_uid: str) -> bool:
    """Say whether objects of this class come by C-STORE.

    Every Storage SOP Class of PS3.4, retired and non-patient ones included, and whatever PS3.6
    does not know: private classes, and classes newer than this program.
    """
    if sop_class_uid in _NOT_BY_C_STORE:
        return False
    entry = UID_dictionary.get(sop_class_uid)
    if entry is None:
        return True
    name, kind = entry[0], entry[1]
    if not name:  # retired and nameless in PS3.6
        return sop_class_uid.startswith("1.2.840.10008.5.1.4.1.1.")
    return kind == "SOP Class" and "Storage" in name

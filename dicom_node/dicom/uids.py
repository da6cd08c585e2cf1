"""Unique identifiers of results: derived from what made the result, never drawn at random.

The same source, route, model and parameters give the same UID on every machine and at every
attempt, so a retry cannot make a second object; any other model version or parameter gives
another UID, so results of two versions never collide.

Without a registered root a UID has the form ``2.25.<integer of a UUID>`` (PS3.5 B.2); the UUID is
of version 8 (RFC 9562, 5.8), its 122 free bits taken from a SHA-256. An organisation that owns a
root may set it, and gets ``<root>.<integer from the same SHA-256>``.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping

UUID_ROOT = "2.25"
"""Root of UIDs made from UUIDs, which anybody may use without registration (PS3.5 B.2)."""

IMPLEMENTATION_CLASS_UID = "2.25.52918799225017122386099352312751159349"
"""Implementation Class UID (PS3.7 D.3.3.2) of the node, in associations and in files."""

IMPLEMENTATION_VERSION_NAME = "DICOM_NODE"
"""Implementation Version Name (PS3.7 D.3.3.2) of the node, in associations and in files."""

_LONGEST_UID = 64
_FEWEST_DIGITS = 24
_UID = re.compile(r"(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*))+")


def is_valid_uid(text: str) -> bool:
    """Whether `text` is a UID by PS3.5 9.1: at most 64 of ``0-9 .``, no leading zeros."""
    return len(text) <= _LONGEST_UID and _UID.fullmatch(text) is not None


def result_sop_instance_uid(
    source_sop_uid: str,
    route: str,
    model_sha256: str,
    parameters: Mapping[str, str],
    *,
    root: str = UUID_ROOT,
) -> str:
    """SOP Instance UID of the result of one work item.

    Parameters
    ----------
    source_sop_uid : str
        SOP Instance UID of the image that was denoised.
    route : str
        Name of the route.
    model_sha256 : str
        SHA-256 of the model version.
    parameters : mapping of str to str
        Everything else that changes the result: strength, result form. Order does not matter.
    root : str
        `UUID_ROOT`, or a root that the organisation owns.

    Returns
    -------
    str
        A UID of at most 64 characters.

    Raises
    ------
    ValueError
        If `root` is not a UID, or too long to leave 24 digits for the hash.
    """
    return _from_hash(
        "instance", [source_sop_uid, route, model_sha256, sorted(parameters.items())], root
    )


def result_series_uid(
    source_series_uid: str,
    route: str,
    model_sha256: str,
    parameters: Mapping[str, str],
    *,
    root: str = UUID_ROOT,
) -> str:
    """Series Instance UID that all results of one source series, route and model share.

    Takes and raises the same as `result_sop_instance_uid`.
    """
    return _from_hash(
        "series", [source_series_uid, route, model_sha256, sorted(parameters.items())], root
    )


def _from_hash(kind: str, parts: list[object], root: str) -> str:
    # JSON keeps the parts apart: no two different lists have the same text.
    text = json.dumps(["dicom-node uid v1", kind, *parts], ensure_ascii=True)
    digest = hashlib.sha256(text.encode("ascii")).digest()
    if root == UUID_ROOT:
        return f"{UUID_ROOT}.{_uuid8(digest)}"
    digits = _LONGEST_UID - len(root) - 1
    if not is_valid_uid(root) or digits < _FEWEST_DIGITS:
        raise ValueError(f"UID root {root!r} is not a UID of at most 39 characters")
    return f"{root}.{int.from_bytes(digest, 'big') % 10 ** min(digits, 39)}"


def _uuid8(digest: bytes) -> int:
    value = int.from_bytes(digest[:16], "big")
    value = (value & ~(0xF << 76)) | (8 << 76)  # version 8
    return (value & ~(0b11 << 62)) | (0b10 << 62)  # variant of RFC 9562

from __future__ import annotations

import uuid

import pytest

from dicom_node.dicom.uids import (
    IMPLEMENTATION_CLASS_UID,
    is_valid_uid,
    result_series_uid,
    result_sop_instance_uid,
)

SHA = "ab" * 32


def test_a_result_uid_is_a_uuid_of_version_8_below_2_25() -> None:
    uid = result_sop_instance_uid("1.2.3", "ct", SHA, {"strength": "1"})
    assert is_valid_uid(uid)
    root, arc, number = uid.split(".")
    assert (root, arc) == ("2", "25")
    value = uuid.UUID(int=int(number))
    assert value.variant == uuid.RFC_4122
    assert value.version == 8


def test_a_result_uid_never_changes_between_releases() -> None:
    uid = result_sop_instance_uid("1.2.3", "ct", SHA, {"strength": "1", "form": "derived"})
    assert uid == "2.25.80386717009924842273995238418644822589"
    assert result_series_uid("1.2.3", "ct", SHA, {}) == (
        "2.25.188418606537632213033369297751766392116"
    )


def test_an_organisation_may_use_its_own_root() -> None:
    root = "1.2.826.0.1.3680043.10.9999.1"
    uid = result_sop_instance_uid("1.2.3", "ct", SHA, {}, root=root)
    assert uid.startswith(root + ".")
    assert is_valid_uid(uid)


@pytest.mark.parametrize("length", [3, 24, 38, 39])
def test_a_root_leaves_room_for_a_uid_of_64_characters(length: int) -> None:
    root = "1." + "2" * (length - 2)
    uids = [result_series_uid(f"1.2.{n}", "ct", SHA, {}, root=root) for n in range(50)]
    assert all(is_valid_uid(uid) and uid.startswith(root + ".") for uid in uids)
    assert max(map(len, uids)) == min(64, length + 1 + 39)
    assert len(set(uids)) == 50


@pytest.mark.parametrize("root", ["1." + "2" * 38, "", "1.02.3", "a.b", "1.", "1." + "2" * 40])
def test_a_root_that_is_no_uid_or_too_long_is_refused(root: str) -> None:
    with pytest.raises(ValueError, match="root"):
        result_sop_instance_uid("1.2.3", "ct", SHA, {}, root=root)


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        ("1.2.840.10008.1.2", True),
        ("2.25.0", True),
        ("1", False),
        ("1.02", False),
        ("1..2", False),
        ("1.2.", False),
        ("1." + "2" * 62, True),
        ("1." + "2" * 63, False),
        ("1.2\n", False),
    ],
)
def test_uids_are_judged_as_part_5_says(text: str, valid: bool) -> None:
    assert is_valid_uid(text) is valid


def test_the_implementation_uid_names_the_release() -> None:
    assert is_valid_uid(IMPLEMENTATION_CLASS_UID)

"""The model registry in the ledger."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from dicom_node.errors import AliasMoved, VersionRefused, VersionTaken
from dicom_node.ledger import alias_moves, certificates, model_versions
from dicom_node.ledger.audit_events import AuditEvent
from dicom_node.ledger.tables import AuditRow
from model_store.ref import ModelName
from model_store.registry.records import Certificate, Move, before
from tests.support.factories.models import convolutions, model_version
from tests.support.ledgers import Life

ALIAS = ModelName("ct-default", "production")
OLD, NEW, NEWER = (ModelName("toy-ct", f"1.{minor}.0") for minor in range(3))


def move(
    life: Life,
    target: ModelName | None,
    expected: ModelName | None,
    alias: ModelName = ALIAS,
    **changes: Any,
) -> Move:
    values = {"action": "promote", "who": "anna@pacs1", "why": "less noise"} | changes
    with life.ledger.write() as unit:
        return alias_moves.move(unit, alias, target, expected=expected, **values)


def current(life: Life) -> dict[ModelName, ModelName | None]:
    with life.ledger.read() as session:
        return {alias: each.target for alias, each in alias_moves.current(session).items()}


def history(life: Life, alias: ModelName = ALIAS) -> tuple[Move, ...]:
    with life.ledger.read() as session:
        return alias_moves.history(session, alias)


def add(life: Life, folder: Path, name: ModelName = OLD, seed: int = 0, **changes: Any) -> None:
    version = model_version(folder, name.name, name.tag, network=convolutions(seed), **changes)
    found = model_versions.VersionOnDisk.read(version, "store", None)
    with life.ledger.write() as unit:
        model_versions.index(unit, found, "anna@pacs1")


def events(life: Life) -> list[str]:
    return [row.event for row in life.rows(select(AuditRow.event).order_by(AuditRow.id))]


def test_a_version_is_registered_once(life: Life, tmp_path: Path) -> None:
    version = model_versions.VersionOnDisk.read(
        model_version(tmp_path / "store"), "store", "0123456789abcdef"
    )
    for who in ("anna@pacs1", "ben@pacs1"):
        life.clock.advance(60)
        with life.ledger.write() as unit:
            found = model_versions.index(unit, version, who)
    assert (found.added_by, found.signed_by) == ("anna@pacs1", "0123456789abcdef")
    assert found.onnx_sha256 == version.version.ref.sha256
    with life.ledger.read() as session:
        assert model_versions.indexed(session) == {ModelName("toy-ct", "1.0.0"): found}
    assert events(life) == [AuditEvent.MODEL_ADDED]


@pytest.mark.parametrize(
    ("other", "said"), [({"seed": 1}, "network"), ({"licence": "another"}, "manifest")]
)
def test_a_name_and_version_never_stand_for_other_bytes(
    life: Life, tmp_path: Path, other: dict[str, Any], said: str
) -> None:
    add(life, tmp_path / "store")
    with pytest.raises(VersionTaken, match=said):
        add(life, tmp_path / "other", **other)


def test_a_package_may_correct_a_manifest_but_not_a_network(life: Life, tmp_path: Path) -> None:
    first, corrected, other = (
        model_versions.VersionOnDisk.read(version, "package", None)
        for version in (
            model_version(tmp_path / "first"),
            model_version(tmp_path / "second", licence="another"),
            model_version(tmp_path / "third", network=convolutions(1)),
        )
    )
    with life.ledger.write() as unit:
        before = model_versions.index(unit, first, "node")
        after = model_versions.index(unit, corrected, "node")
    assert before.manifest_sha256 != after.manifest_sha256
    assert events(life) == [AuditEvent.MODEL_ADDED, AuditEvent.MODEL_CHANGED]
    with pytest.raises(VersionTaken), life.ledger.write() as unit:
        model_versions.index(unit, other, "node")


def test_an_alias_moves_and_every_move_is_kept(life: Life) -> None:
    gates = ({"gate": "metrics", "passed": False, "said": "2.1 dB below the policy"},)
    move(life, OLD, None, action="set")
    life.clock.advance(60)
    made = move(life, NEW, OLD, forced=True, gates=gates)
    assert (made.serial, made.previous, made.at) == (2, OLD, life.clock())
    assert current(life) == {ALIAS: NEW}
    assert history(life)[-1] == made
    with life.ledger.read() as session:
        assert alias_moves.history(session, name=NEW) == (made,)
        assert [each.serial for each in alias_moves.history(session)] == [1, 2]
    assert events(life) == [AuditEvent.ALIAS_MOVED, AuditEvent.ALIAS_FORCED]
    (detail,) = life.rows(
        select(AuditRow.detail).where(AuditRow.event == AuditEvent.ALIAS_FORCED.value)
    )
    assert Move.of_entry(detail[0]) == made


def test_the_first_move_takes_over_what_the_alias_file_said(life: Life) -> None:
    assert move(life, NEW, OLD).previous == OLD
    assert before(history(life)) == OLD


def test_who_saw_another_version_in_place_moves_nothing(life: Life) -> None:
    move(life, NEW, OLD)
    with pytest.raises(AliasMoved, match=r"anna@pacs1.*toy-ct@1\.1\.0.*less noise"):
        move(life, NEWER, OLD, who="ben@pacs1")
    assert current(life) == {ALIAS: NEW}


def test_of_two_administrators_at_once_one_is_told(life: Life) -> None:
    """Both read before either writes; where writers take turns the second one reads too late."""
    for round_, expected in enumerate([OLD, None]):
        alias = ModelName("ct-default", f"try-{round_}")
        start = threading.Barrier(2)
        told: list[str] = []

        def administrator(target: ModelName, alias: ModelName, expected: ModelName | None) -> None:
            start.wait()  # noqa: B023 -- joined before the next round
            try:
                move(life, target, expected, alias, who=f"who-of-{target.tag}")
            except AliasMoved as error:
                told.append(str(error))  # noqa: B023

        threads = [
            threading.Thread(target=administrator, args=(target, alias, expected))
            for target in (NEW, NEWER)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(told) == 1
        (only,) = history(life, alias)
        assert only.serial == 1
        assert "nothing was changed" in told[0]


def test_a_collision_of_serials_is_told_too(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a database sees whose writers do not wait for each other."""
    move(life, OLD, None)
    monkeypatch.setattr(alias_moves, "current", lambda *_: {})
    with pytest.raises(AliasMoved, match="somebody else"):
        move(life, NEW, OLD)
    monkeypatch.undo()
    assert current(life) == {ALIAS: OLD}
    assert len(events(life)) == 1


def test_an_alias_can_be_removed_and_set_again(life: Life) -> None:
    move(life, OLD, None, action="set")
    move(life, None, OLD, action="remove")
    assert current(life) == {ALIAS: None}
    assert before(history(life)) == OLD
    move(life, NEW, None, action="set")
    assert [each.serial for each in history(life)] == [1, 2, 3]


def test_rollbacks_go_further_back_and_not_forth_again(life: Life) -> None:
    move(life, NEW, OLD)
    move(life, NEWER, NEW)
    for expected in (NEW, OLD):
        wanted = before(history(life))
        assert wanted == expected
        move(life, wanted, current(life)[ALIAS], action="rollback")
    assert before(history(life)) is None
    move(life, NEWER, OLD)
    assert before(history(life)) == OLD


def test_an_alias_does_not_become_a_version_nor_a_version_an_alias(life: Life) -> None:
    for alias, target in ((OLD, NEW), (ALIAS, ALIAS)):
        with pytest.raises(ValueError, match="must be"):
            move(life, target, None, alias)


def test_a_retired_version_is_known_and_gets_no_alias(life: Life, tmp_path: Path) -> None:
    add(life, tmp_path)
    with life.ledger.write() as unit:
        found = model_versions.retire(unit, OLD, "anna@pacs1", "blurs lesions")
    assert (found.retired_at, found.retired_by) == (life.clock(), "anna@pacs1")
    life.clock.advance(60)
    with life.ledger.write() as unit:
        assert model_versions.retire(unit, OLD, "ben@pacs1", "again") == found
    with pytest.raises(VersionRefused, match=r"anna@pacs1: blurs lesions"):
        move(life, OLD, None)
    assert events(life) == [AuditEvent.MODEL_ADDED, AuditEvent.MODEL_RETIRED]


def test_what_an_alias_stands_for_is_not_retired(life: Life, tmp_path: Path) -> None:
    add(life, tmp_path)
    move(life, OLD, None)
    with pytest.raises(VersionRefused, match=str(ALIAS)), life.ledger.write() as unit:
        model_versions.retire(unit, OLD, "anna@pacs1", "why")
    move(life, None, OLD, action="remove")
    with life.ledger.write() as unit:
        model_versions.retire(unit, OLD, "anna@pacs1", "why")


def test_a_version_is_not_retired_and_promoted_at_once(life: Life, tmp_path: Path) -> None:
    add(life, tmp_path)
    start = threading.Barrier(2)
    refused: list[str] = []

    def retire() -> None:
        with life.ledger.write() as unit:
            model_versions.retire(unit, OLD, "ben@pacs1", "why")

    def administrator(step: Callable[[], object]) -> None:
        start.wait()
        try:
            step()
        except VersionRefused as error:
            refused.append(str(error))

    threads = [
        threading.Thread(target=administrator, args=(step,))
        for step in (retire, lambda: move(life, OLD, None))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 1
    with life.ledger.read() as session:
        retired = model_versions.indexed(session)[OLD].retired_at is not None
    assert retired != bool(current(life))


def test_what_is_not_registered_is_not_retired(life: Life) -> None:
    with pytest.raises(VersionRefused, match="not registered"), life.ledger.write() as unit:
        model_versions.retire(unit, OLD, "anna@pacs1", "why")


def test_a_deleted_version_keeps_its_name(life: Life, tmp_path: Path) -> None:
    add(life, tmp_path / "first")
    with life.ledger.write() as unit:
        model_versions.delete(unit, OLD, "anna@pacs1", "never used")
    with pytest.raises(VersionTaken):
        add(life, tmp_path / "second", seed=1)
    assert AuditEvent.MODEL_DELETED in events(life)


def test_what_refers_to_a_version_is_known(life: Life) -> None:
    toy = ModelName("toy", "1.0.0")
    life.associate()
    life.receive_series(3)
    life.planner.plan()
    life.release()
    life.clock.advance(10)
    life.planner.close_batches()
    move(life, toy, None)
    with life.ledger.read() as session:
        waiting = model_versions.references(session, toy)
    life.denoise_all()
    with life.ledger.read() as session:
        done = model_versions.references(session, toy)
        assert model_versions.references(session, OLD) == {
            "aliases": [],
            "results": 0,
            "batches": 0,
        }
    assert waiting == {"aliases": [str(ALIAS)], "results": 0, "batches": 2}
    assert done == {"aliases": [str(ALIAS)], "results": 6, "batches": 0}


def test_a_lost_history_is_put_back(life: Life) -> None:
    move(life, OLD, None, action="set")
    life.clock.advance(60)
    move(life, NEW, OLD)
    entries = [each.entry() for each in history(life)]
    lost = [Move.of_entry(entry | {"alias": "other@production"}) for entry in entries]
    for count in (2, 0):
        with life.ledger.write() as unit:
            assert alias_moves.restore(unit, [*reversed(lost)]) == count
    assert history(life, ModelName("other", "production")) == tuple(lost)
    other = Move.of_entry(entries[1] | {"target": str(NEWER)})
    with pytest.raises(AliasMoved, match="move 2"), life.ledger.write() as unit:
        alias_moves.restore(unit, [other])


def test_certificates_are_kept_newest_first(life: Life) -> None:
    first = Certificate(
        "toy-ct", "1.0.0", "0" * 64, "1" * 64, "openvino", "f32", "a CPU", {"openvino": "2026.1"},
        4, 0.02, -0.001, 0.004, 1.0, "HU", True, life.clock(), "anna@pacs1",
    )  # fmt: skip
    second = Certificate(
        "toy-ct", "1.0.0", "0" * 64, "1" * 64, "openvino", "bf16", "a CPU", {"openvino": "2026.1"},
        4, 3.0, -0.1, 0.9, 1.0, "HU", False, life.clock() + timedelta(minutes=1), "anna@pacs1",
    )  # fmt: skip
    with life.ledger.write() as unit:
        certificates.add(unit, first)
        certificates.add(unit, second)
    with life.ledger.read() as session:
        assert certificates.newest_first(session) == (second, first)
        assert certificates.newest_first(session, ModelName("toy-ct", "1.0.0")) == (second, first)
        assert certificates.newest_first(session, NEW) == ()
    assert events(life) == [AuditEvent.MODEL_CERTIFIED] * 2

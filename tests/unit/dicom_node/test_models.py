"""What a running node makes of aliases, signatures and retired versions."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from dicom_node.checks import look
from dicom_node.ledger.tables import BatchRow, ModelVersionRow
from dicom_node.models import ALIAS_SECONDS, CHECK_SECONDS, Models
from dicom_node.routing import planning
from model_store.content import ContentStore
from model_store.errors import (
    ManifestError,
    ModelAwayError,
    ModelIntegrityError,
    ModelStoreError,
    QuarantinedError,
    RetiredModelError,
    UnknownKeyError,
    UnknownModelError,
    UnsignedError,
)
from model_store.ref import ModelName
from model_store.store import ModelVersion
from model_store.trust.signature import sign
from model_store.trust.signed_only import SignedOnly
from tests.support.factories.models import convolutions, model_version
from tests.support.site import ALIAS, NEW, OLD, Site

# --- aliases -------------------------------------------------------------------------------------


def test_a_moved_alias_is_taken_into_use_and_planned_work_keeps_its_version(site: Site) -> None:
    models = site.models()
    planner = site.planner(models)
    models.register("node")
    site.move(OLD, None)
    for number, target in enumerate((OLD, NEW)):
        if target != OLD:
            site.move(NEW, OLD)  # within the same second
        site.life.receive(f"1.2.4.{number}")
        assert planner.plan() == 1
    rows = site.life.rows(select(BatchRow.model_version, BatchRow.count).order_by(BatchRow.id))
    assert [tuple(row) for row in rows] == [("1.0.0", 1), ("1.1.0", 1)]
    site.retire(OLD)
    (sha256,) = site.life.rows(select(BatchRow.model_sha256).order_by(BatchRow.id).limit(1))[0]
    assert models.version(OLD).ref.sha256 == sha256


def test_a_rollback_is_taken_into_use_the_same_way(site: Site) -> None:
    models = site.models()
    site.move(NEW, OLD)
    assert models.resolve(ALIAS).ref.version == "1.1.0"
    site.move(OLD, NEW, action="rollback")
    assert models.resolve(ALIAS).ref.version == "1.1.0"
    site.seconds.now += ALIAS_SECONDS
    assert models.resolve(ALIAS).ref.version == "1.0.0"
    assert models.aliases()[ALIAS] == OLD


def test_an_alias_file_counts_until_the_ledger_has_the_alias(site: Site) -> None:
    models = site.models()
    assert models.resolve(ALIAS).ref.name == "drunet-ct"  # what the package says
    (site.store / "aliases.toml").write_text(f'[aliases]\n"{ALIAS}" = "{OLD}"\n')
    site.seconds.now += ALIAS_SECONDS
    assert models.resolve(ALIAS).ref.version == "1.0.0"
    site.move(NEW, OLD)
    site.seconds.now += ALIAS_SECONDS
    assert models.resolve(ALIAS).ref.version == "1.1.0"
    site.move(None, NEW, action="remove")
    site.seconds.now += ALIAS_SECONDS
    with pytest.raises(UnknownModelError, match=r"removed on .* by anna@pacs1 \(less noise\)"):
        models.resolve(ALIAS)
    assert ALIAS not in models.aliases()


def test_an_alias_file_that_is_spoilt_leaves_what_was_read_before(site: Site) -> None:
    models = site.models()
    assert models.resolve(ALIAS).ref.name == "drunet-ct"
    (site.store / "aliases.toml").write_text("[aliases\n")
    site.seconds.now += ALIAS_SECONDS
    assert models.resolve(ALIAS).ref.name == "drunet-ct"
    with pytest.raises(ManifestError, match=r"aliases\.toml"):
        site.models().resolve(ALIAS)


def test_an_unknown_alias_says_which_there_are(site: Site) -> None:
    with pytest.raises(UnknownModelError, match="ct-default@production"):
        site.models().resolve("no-such@production")
    with pytest.raises(UnknownModelError):
        site.models().resolve("no name")


def test_without_a_ledger_the_files_count(site: Site) -> None:
    site.move(OLD, None)
    models = Models.without_ledger(site.life.settings)
    assert models.resolve(ALIAS).ref.name == "drunet-ct"
    assert Models.at_hand(site.life.settings).resolve(ALIAS).ref.name == "toy-ct"
    site.life.ledger.engine.dispose()
    (site.life.folder / "ledger.sqlite").unlink()
    assert Models.at_hand(site.life.settings).resolve(ALIAS).ref.name == "drunet-ct"
    assert not (site.life.folder / "ledger.sqlite").exists()


# --- retired -------------------------------------------------------------------------------------


def test_a_retired_version_takes_no_new_work_and_stays_readable(site: Site) -> None:
    models = site.models()
    models.register("node")
    assert models.resolve(OLD).ref.version == "1.0.0"
    site.retire(OLD)
    site.seconds.now += ALIAS_SECONDS
    with pytest.raises(RetiredModelError, match=r"anna@pacs1 \(blurs lesions\).*promote"):
        models.resolve(OLD)
    assert models.version(OLD).ref.version == "1.0.0"
    assert OLD in {ModelName(each.ref.name, each.ref.version) for each in models.versions()}


# --- trust ---------------------------------------------------------------------------------------


def test_a_changed_byte_is_found_and_the_version_stays_out_of_use(site: Site) -> None:
    site.move(OLD, None)
    models = site.models()
    planner = site.planner(models)
    site.life.receive("1.2.4.1")
    planner.plan()
    whole = site.file(OLD).read_bytes()
    site.spoil(OLD)
    with pytest.raises(ModelIntegrityError, match="sha256"):
        models.version(OLD)
    site.file(OLD).write_bytes(whole)
    for _ in range(2):
        with pytest.raises(
            QuarantinedError, match=r"dicom-node model verify toy-ct@1\.0\.0 --release"
        ):
            models.version(OLD)
    site.seconds.now += CHECK_SECONDS
    site.life.receive("1.2.4.2")
    planner.plan()
    states = site.items()
    assert [state for state, _ in states] == ["planned", "failed"]
    assert "in quarantine since" in states[1][1]
    assert list(models.refused()) == [OLD]
    assert [note.version for note in models.quarantine.notes()] == [str(OLD)]
    site.move(NEW, OLD)
    site.seconds.now += ALIAS_SECONDS
    site.life.receive("1.2.4.3")
    planner.plan()
    assert site.items()[-1][0] == "planned"


def test_for_new_work_a_version_is_looked_at_now_and_then(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[Path] = []

    class Counting(SignedOnly):
        def admit(self, folder: Path) -> ModelVersion:
            looked.append(folder)
            return super().admit(folder)

    monkeypatch.setattr("dicom_node.models.SignedOnly", Counting)
    models = site.models()
    for _ in range(5):
        models.resolve(OLD)
    assert len(looked) == 1
    site.seconds.now += CHECK_SECONDS
    models.resolve(OLD)
    assert len(looked) == 2
    models.version(OLD)
    models.version(OLD)
    assert len(looked) == 4


def test_what_is_not_signed_is_refused_with_what_to_do(site: Site) -> None:
    model_version(site.store, "bare-ct")
    with pytest.raises(UnsignedError, match=r'model-store sign.*unsigned = "accept"'):
        site.models().resolve("bare-ct@1.0.0")
    accepting = site.models(unsigned="accept")
    version = accepting.resolve("bare-ct@1.0.0")
    assert (accepting.origin(version), accepting.signer(version)) == ("store", None)


def test_a_signature_counts_even_where_none_is_asked_for(site: Site) -> None:
    site.spoil(OLD)
    with pytest.raises(ModelIntegrityError):
        site.models(unsigned="accept").resolve(OLD)


def test_a_key_that_is_not_trusted_is_refused_with_what_to_do(site: Site) -> None:
    with pytest.raises(UnknownKeyError, match=r"\[models\] trust"):
        site.models(trust=None).resolve(OLD)
    key = site.models().signer(site.models().resolve(OLD))
    assert key is not None
    assert key.key == site.key.id


def test_the_package_needs_no_signature_and_no_folder(site: Site) -> None:
    models = site.models(path=None, trust=None)
    version = models.resolve(ALIAS)
    assert (models.origin(version), models.signer(version)) == ("package", None)
    assert not models.folder.exists()


def test_other_bytes_than_were_registered_are_refused(site: Site) -> None:
    models = site.models()
    models.register("node")
    shutil.rmtree(site.store / OLD.name / OLD.tag)
    sign(model_version(site.store, OLD.name, OLD.tag, network=convolutions(9)), site.key)
    with pytest.raises(ModelIntegrityError, match="a version never changes"):
        models.resolve(OLD)
    assert models.register("node") == ()


# --- the store -----------------------------------------------------------------------------------


def test_what_is_registered_and_out_of_reach_is_waited_for(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "_ASIDE", timedelta(0))
    site.move(OLD, None)
    models = site.models()
    models.register("node")
    away = site.store.rename(site.folder / "away")
    with pytest.raises(ModelAwayError, match=str(site.store)):
        models.resolve(OLD)
    planner = site.planner(models)
    site.life.receive("1.2.4.1")
    assert planner.plan() == 0
    assert site.items() == []
    away.rename(site.store)
    assert planner.plan() == 1
    assert site.items()[0][0] == "planned"


def test_what_nobody_registered_and_is_not_there_is_unknown(site: Site) -> None:
    with pytest.raises(UnknownModelError, match="there is"):
        site.models().resolve("toy-ct@9.9.9")
    with pytest.raises(UnknownModelError, match="is an alias"):
        site.models().version(ALIAS)


def test_what_can_be_used_is_registered(site: Site) -> None:
    model_version(site.store, "bare-ct")
    models = site.models()
    added = models.register("node@here")
    assert {OLD, NEW} <= {row.target for row in added}
    assert "bare-ct" not in {row.name for row in added}
    assert {row.origin for row in added} == {"package", "store"}
    assert next(row for row in added if row.target == OLD).signed_by == site.key.id
    assert models.register("node@here") == ()
    assert len(site.life.rows(select(ModelVersionRow.id))) == len(added)


def test_versions_of_a_remote_store_come_when_they_are_asked_for(site: Site) -> None:
    pytest.importorskip("fsspec")
    url = (site.folder / "share").as_uri()
    models = site.models(path=url)
    with pytest.raises(UnknownModelError):
        models.resolve(OLD)
    there = ContentStore(url, site.folder / "another-machine")
    there.add(site.file(OLD).parent)
    with pytest.raises(UnknownModelError):
        models.resolve(OLD)  # it was looked for a moment ago
    site.seconds.now += CHECK_SECONDS
    assert models.resolve(OLD).folder.is_relative_to(site.life.folder)
    assert models.content.folder == models.folder


def test_a_remote_store_that_is_away_fails_nothing(site: Site) -> None:
    pytest.importorskip("fsspec")
    models = site.models(path="carrot://bucket/models")
    assert models.resolve("drunet-ct@1.0.0").ref.name == "drunet-ct"
    with pytest.raises(ModelAwayError, match="carrot"):
        models.resolve(OLD)
    section = site.life.settings.models.model_copy(update={"path": "carrot://bucket/models"})
    settings = site.life.settings.model_copy(update={"models": section})
    said = next(each for each in look(settings, destinations=False) if each.what == "models")
    assert not said.ok
    assert "carrot" in said.message


def test_every_refusal_is_an_error_of_the_store() -> None:
    for kind in (RetiredModelError, ModelAwayError, QuarantinedError, UnsignedError):
        assert issubclass(kind, ModelStoreError)

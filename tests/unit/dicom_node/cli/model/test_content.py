"""Versions come, are looked at and go: whole or not at all, never under a name that is taken."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import text

from dicom_node.errors import ConfigError
from dicom_node.ledger import model_versions
from dicom_node.ledger.states import BatchState
from dicom_node.ledger.tables import BatchRow
from dicom_node.startup import require_moves
from model_store.content import ContentStore
from model_store.errors import ContentError
from model_store.ref import ModelName
from model_store.trust.signature import sign
from tests.support.factories.models import model_version
from tests.support.factories.released import key_pair
from tests.support.ledgers import open_ledger
from tests.unit.dicom_node.cli.model.shell import Shell

WHY = ("--why", "tested", "--by", "me@here")
NAME = ModelName("toy-ct", "1.0.0")


def state(shell: Shell, version: str = "toy-ct@1.0.0") -> str:
    return next(row["state"] for row in shell.json("list") if row["version"] == version)


# --- coming --------------------------------------------------------------------------------------


def test_a_folder_is_added_and_listed_with_its_signer(shell: Shell) -> None:
    made = shell.vendor()
    said = shell.ok("add", str(made.folder), "--by", "me@here")
    assert "toy-ct@1.0.0 added, signed by Vendor, tests (" in said
    rows = {row["version"]: row for row in shell.json("list")}
    assert rows["toy-ct@1.0.0"]["signed_by"].startswith("Vendor, tests (")
    assert rows["toy-ct@1.0.0"]["state"] == "ready"
    assert rows["drunet-ct@1.0.0"]["origin"] == "package"
    with shell.ledger.read() as session:
        row = model_versions.indexed(session)[NAME]
    assert (row.added_by, row.origin, row.signed_by) == ("me@here", "store", shell.key.id)


def test_adding_it_again_is_nothing_new(shell: Shell) -> None:
    made = shell.vendor()
    assert shell.json("add", str(made.folder))["added"] is True
    assert shell.json("add", str(made.folder))["added"] is False


def test_other_bytes_under_a_taken_name_are_refused(shell: Shell, tmp_path: Path) -> None:
    shell.added()
    other = model_version(tmp_path / "other", "toy-ct", "1.0.0")
    sign(other, shell.key)
    said = shell.refused("add", str(other.folder))
    assert "toy-ct@1.0.0" in said
    assert state(shell) == "ready"


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("unsigned", "is not signed"),
        ("another key", "which is not trusted here"),
        ("changed", "model.onnx has sha256"),
        ("graph", "toy-ct@1.0.0 is not a network that may run here: the operator set"),
    ],
)
def test_what_nobody_vouches_for_does_not_come_in(
    shell: Shell, tmp_path: Path, what: str, words: str
) -> None:
    made = shell.vendor(signed=False)
    if what == "another key":
        sign(made, key_pair(tmp_path / "stranger", "stranger"))
    elif what == "changed":
        sign(made, shell.key)
        made.onnx_path.write_bytes(b"\0")
    elif what == "graph":
        made = model_version(tmp_path / "other", "toy-ct", network=b"\x08\x0a")
        sign(made, shell.key)
    said = shell.refused("add", str(made.folder))
    assert words in said
    assert not (shell.store / "toy-ct").exists()


def test_unsigned_where_that_is_accepted(shell: Shell) -> None:
    shell.configure(models='unsigned = "accept"')
    made = shell.vendor(signed=False)
    assert "signed by nobody" in shell.ok("add", str(made.folder))
    assert shell.json("show", "toy-ct@1.0.0")["signed_by"] is None


def test_a_version_goes_out_as_a_file_and_comes_in_elsewhere(shell: Shell, tmp_path: Path) -> None:
    shell.added()
    (tmp_path / "stick").mkdir()
    found = shell.json("export", "toy-ct@1.0.0", str(tmp_path / "stick"))
    elsewhere = Shell(tmp_path / "elsewhere")
    archive = tmp_path / "stick" / "toy-ct-1.0.0.zip"
    assert found["file"] == str(archive)
    assert "not trusted here" in elsewhere.refused("import", str(archive))
    (shell.folder / "keys" / "vendor.pub").replace(elsewhere.folder / "keys" / "other.pub")
    assert "toy-ct@1.0.0 added" in elsewhere.ok("import", str(archive))
    assert state(elsewhere) == "ready"
    elsewhere.ledger.engine.dispose()


def test_a_damaged_file_is_refused(shell: Shell, tmp_path: Path) -> None:
    shell.added()
    archive = Path(shell.json("export", "toy-ct@1.0.0", str(tmp_path))["file"])
    archive.write_bytes(archive.read_bytes()[:-100])
    assert "is damaged" in shell.refused("import", str(archive))


# --- being there ---------------------------------------------------------------------------------


def test_a_version_is_shown_with_its_metrics_and_certificates(shell: Shell) -> None:
    shell.added()
    shell.ok("promote", "toy-ct@1.0.0", *WHY)
    found = shell.json("show", "toy-ct@1.0.0")
    assert found["headline"]["noise of 10 HU"]["model"] == 35.0
    assert found["aliases"] == ["toy-ct@production"]
    assert found["certificates"][0]["engine"] == "onnxruntime"
    assert found["added"]["by"]
    said = shell.ok("show", "toy-ct@1.0.0")
    assert "noise of 10 HU" in said
    assert "onnxruntime f32" in said
    assert "validity: not stated" in said


def test_a_name_alone_is_what_it_stands_for_and_the_other_versions_are_named(shell: Shell) -> None:
    found = shell.json("show", "drunet-ct")
    assert found["version"] == "drunet-ct@1.3.0"
    assert found["other_versions"] == ["1.0.0", "1.1.0", "1.2.0"]
    assert shell.json("show", "ct-default")["version"] == "drunet-ct@1.3.0"
    assert shell.json("show", "ct-default@production")["version"] == "drunet-ct@1.3.0"
    assert "other versions: 1.0.0, 1.1.0, 1.2.0" in shell.ok("show", "drunet-ct")
    assert "drunet-ct@1.3.0" in shell.ok("verify", "drunet-ct", "--quick")


def test_a_name_alone_without_an_alias_is_its_newest_version(shell: Shell) -> None:
    shell.added("1.9.0")
    shell.added("1.10.0")
    assert shell.json("show", "toy-ct")["version"] == "toy-ct@1.10.0"
    shell.ok("promote", "toy-ct@1.9.0", *WHY)
    assert shell.json("show", "toy-ct")["version"] == "toy-ct@1.9.0"


def test_a_name_that_nothing_has_is_told_what_there_is(shell: Shell) -> None:
    said = shell.refused("show", "drunet", code=1)
    assert "no model drunet; there is" in said
    assert "drunet-ct" in said


def test_the_list_says_at_which_strength_routes_that_state_none_run(shell: Shell) -> None:
    shell.added()
    rows = {row["version"]: row["strength"] for row in shell.json("list")}
    assert (rows["drunet-ct@1.3.0"], rows["toy-ct@1.0.0"]) == (0.6, 1.0)
    assert "strength" in shell.ok("list")


def test_a_packaged_version_is_shown_with_its_validity(shell: Shell) -> None:
    assert "validity: Trained on noise of 0 to 60 HU" in shell.ok("show", "drunet-ct@1.0.0")


def test_a_changed_byte_is_found_quarantined_and_put_right(shell: Shell) -> None:
    made = shell.vendor()
    shell.ok("add", str(made.folder))
    assert {row["passed"] for row in shell.json("verify", "toy-ct@1.0.0")} == {True}
    (shell.store / "toy-ct" / "1.0.0" / "model.onnx").write_bytes(b"\0")
    found = shell.json("verify", "toy-ct@1.0.0", code=3)
    assert [row["gate"] for row in found if not row["passed"]] == [
        "signature", "state", "graph", "behaviour"
    ]  # fmt: skip
    assert state(shell) == "quarantined"
    assert shell.run("verify", "toy-ct@1.0.0", "--release").exit_code == 3
    said = shell.refused("add", str(made.folder))
    assert "as it was released, and stays out of use" in said
    assert shell.run("verify", "toy-ct@1.0.0", "--quick").exit_code == 3
    assert shell.events("model:person:released") == [], "what is not well is not released"
    assert "passed state" in shell.ok("verify", "toy-ct@1.0.0", "--release", "--by", "a@b")
    assert state(shell) == "ready"
    (event,) = shell.events("model:person:released")
    assert (event["version"], event["who"]) == ("toy-ct@1.0.0", "a@b")
    assert "model.onnx" in str(event["reason"])
    shell.ok("verify", "toy-ct@1.0.0", "--release")
    assert len(shell.events("model:person:released")) == 1, "it was not in quarantine any more"


def test_what_cannot_be_audited_stays_in_quarantine(shell: Shell) -> None:
    made = shell.vendor()
    shell.ok("add", str(made.folder))
    onnx = shell.store / "toy-ct" / "1.0.0" / "model.onnx"
    whole = onnx.read_bytes()
    onnx.write_bytes(b"\0")
    shell.refused("verify", "toy-ct@1.0.0")
    onnx.write_bytes(whole)
    refuse = (
        "CREATE TRIGGER no_release BEFORE INSERT ON audit "
        "WHEN NEW.event = 'model:person:released' BEGIN SELECT RAISE(ABORT, 'disk full'); END"
    )
    with shell.ledger.engine.begin() as connection:
        connection.execute(text(refuse))
    assert shell.run("verify", "toy-ct@1.0.0", "--release").exit_code == 1
    assert state(shell) == "quarantined"
    with shell.ledger.engine.begin() as connection:
        connection.execute(text("DROP TRIGGER no_release"))
    shell.ok("verify", "toy-ct@1.0.0", "--release")
    assert state(shell) == "ready"
    assert len(shell.events("model:person:released")) == 1


def test_a_manifest_that_cannot_be_read_is_one_line_of_the_table(shell: Shell) -> None:
    shell.added("1.0.0")
    shell.added("2.0.0")
    (shell.store / "toy-ct" / "1.0.0" / "manifest.json").write_text("{}", encoding="utf-8")
    said = shell.refused("verify", "toy-ct@1.0.0", "toy-ct@2.0.0", "--quick")
    assert "refused manifest" in said
    assert "passed signature" in said
    assert state(shell, "toy-ct@1.0.0") == "quarantined"


def test_an_engine_is_certified_on_demand(shell: Shell) -> None:
    shell.added(beside=2.3)
    said = shell.refused("verify", "toy-ct@1.0.0", "--certify")
    assert "refused equivalence: largest difference 2.3 HU, limit 1 HU" in said
    assert len(shell.json("show", "toy-ct@1.0.0")["certificates"]) == 1


def test_everything_is_verified_if_nothing_is_named(shell: Shell) -> None:
    shell.added()
    names = {row["version"] for row in shell.json("verify", "--quick")}
    assert {"toy-ct@1.0.0", "drunet-ct@1.0.0", "n2n-unet-xray@1.0.0"} <= names
    assert shell.run("verify", "--release").exit_code == 2


# --- going ---------------------------------------------------------------------------------------


def test_a_version_is_retired_once_nothing_names_it(shell: Shell) -> None:
    shell.added()
    shell.ok("promote", "toy-ct@1.0.0", "--to", "toy-ct@candidate", *WHY)
    assert "toy-ct@candidate stands for it" in shell.refused("retire", "toy-ct@1.0.0", *WHY)
    shell.ok("unalias", "toy-ct@candidate", *WHY)
    route = '[[routes]]\nname = "pinned"\nmodel = "toy-ct@1.0.0"\ndestinations = ["pacs"]\n'
    shell.configure(more=route)
    assert "these routes name it: pinned" in shell.refused("retire", "toy-ct@1.0.0", *WHY)
    shell.configure()
    assert "is retired since" in shell.ok("retire", "toy-ct@1.0.0", *WHY)
    assert "by me@here: tested" in state(shell)
    assert "passed state: retired on" in shell.ok("verify", "toy-ct@1.0.0")


def test_versions_are_listed_by_their_numbers(shell: Shell) -> None:
    for version in ("1.10.0", "1.9.0"):
        model_version(shell.store, "toy-ct", version)
    found = [row["version"] for row in shell.json("list") if row["version"].startswith("toy")]
    assert found == ["toy-ct@1.9.0", "toy-ct@1.10.0"]


def test_a_packaged_version_is_retired_but_never_deleted(shell: Shell) -> None:
    shell.ok("unalias", "drl-ct@production", *WHY)
    assert "came with the package" in shell.refused("delete", "drl-ct@1.0.0", "--yes", *WHY)
    shell.ok("retire", "drl-ct@1.0.0", *WHY)
    assert state(shell, "drl-ct@1.0.0").startswith("retired")


def test_a_deletion_shows_what_refers_to_the_version_and_wants_yes(shell: Shell) -> None:
    made = shell.vendor()
    shell.ok("add", str(made.folder))
    shell.ok("promote", "toy-ct@1.0.0", "--to", "toy-ct@candidate", *WHY)
    said = shell.refused("delete", "toy-ct@1.0.0", "--yes", *WHY)
    assert "aliases toy-ct@candidate; 0 batches to do; 0 results made by it" in said
    shell.ok("unalias", "toy-ct@candidate", *WHY)
    said = shell.refused("delete", "toy-ct@1.0.0", *WHY, code=2)
    assert "--yes deletes it" in said
    assert "is deleted" in shell.ok("delete", "toy-ct@1.0.0", "--yes", *WHY)
    assert not (shell.store / "toy-ct" / "1.0.0").exists()
    assert "no files; retired" in state(shell)
    said = shell.ok("add", str(made.folder))
    assert "it was deleted on" in said
    assert "by me@here (tested), which retired it" in said
    assert "for replay only" in said


def test_a_retired_version_that_is_added_again_is_called_retired(shell: Shell) -> None:
    made = shell.vendor()
    shell.ok("add", str(made.folder))
    shell.ok("retire", "toy-ct@1.0.0", *WHY)
    said = shell.ok("add", str(made.folder))
    assert "it was retired on" in said
    assert "stays so: it is there for replay only" in said


def test_a_version_with_work_to_do_is_not_deleted(shell: Shell) -> None:
    made = shell.vendor()
    shell.ok("add", str(made.folder))
    with shell.ledger.write() as unit:
        unit.session.add(
            BatchRow(
                series_uid="1.2", route="ct", model_name="toy-ct", model_version="1.0.0",
                model_sha256=made.ref.sha256, plan={}, state=BatchState.OPEN.value, size=0,
                association_id="a", opened_at=unit.at, last_item_at=unit.at,
            )
        )  # fmt: skip
    assert "1 batches are planned with it" in shell.refused("delete", "toy-ct@1.0.0", "--yes", *WHY)


def test_what_is_not_in_the_store_is_not_deleted(shell: Shell) -> None:
    assert "no model toy-ct@1.0.0" in shell.refused("delete", "toy-ct@1.0.0", "--yes", *WHY, code=1)


# --- a lost database -----------------------------------------------------------------------------


def test_a_lost_ledger_is_made_again_from_the_store(shell: Shell) -> None:
    for version in ("1.0.0", "2.0.0"):
        shell.added(version)
        shell.ok("promote", f"toy-ct@{version}", *WHY)
    shell.ok("rollback", "toy-ct@production", *WHY)
    shell.ok("retire", "toy-ct@2.0.0", *WHY)
    before = shell.json("history")
    shell.ledger.engine.dispose()
    for path in (shell.folder / "spool").glob("ledger.sqlite*"):
        path.unlink()
    shell.ledger = open_ledger(f"sqlite:///{shell.folder / 'spool' / 'ledger.sqlite'}")
    assert shell.json("history") == []
    with pytest.raises(ConfigError, match="toy-ct@production that the ledger lacks"):
        require_moves(shell.models())
    found = shell.json("index", "--by", "me@here")
    require_moves(shell.models())
    assert (found["moves"], found["retired"], found["refused"]) == (3, 1, {})
    assert "toy-ct@2.0.0" in found["registered"]
    assert shell.json("history") == before
    assert shell.standing() == "toy-ct@1.0.0"
    assert "by me@here: tested" in state(shell, "toy-ct@2.0.0")
    again = shell.json("index")
    assert (again["registered"], again["moves"], again["written"]) == ([], 0, 0)


def test_a_history_that_was_not_written_is_written_later(shell: Shell) -> None:
    shell.added()
    shell.ok("promote", "toy-ct@1.0.0", *WHY)
    for path in (shell.store / ".history").iterdir():
        path.unlink()
    assert shell.json("index")["written"] == 1
    assert shell.json("index")["written"] == 0


def test_a_damaged_version_does_not_stop_the_others(shell: Shell) -> None:
    shell.added("1.0.0")
    shell.added("2.0.0")
    (shell.store / "toy-ct" / "1.0.0" / "model.onnx").write_bytes(b"\0")
    found = shell.json("index", code=3)
    assert list(found["refused"]) == ["toy-ct@1.0.0"]


def test_a_history_that_is_none_moves_nothing(shell: Shell) -> None:
    shell.added()
    shell.ok("promote", "toy-ct@1.0.0", *WHY)
    (entry,) = (shell.store / ".history").iterdir()
    document = json.loads(entry.read_text(encoding="utf-8"))
    assert document["alias"] == "toy-ct@production"
    entry.write_text(json.dumps({"alias": "toy-ct@production"}), encoding="utf-8")
    assert "entry 1 of the history" in shell.refused("index", code=1)


def test_a_store_that_cannot_be_read_does_not_keep_a_node_from_starting(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(_: object) -> None:
        raise ContentError("away")

    monkeypatch.setattr(ContentStore, "history", away)
    require_moves(shell.models())

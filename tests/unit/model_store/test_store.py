import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from model_store.errors import ManifestError, ModelIntegrityError, UnknownModelError
from model_store.ref import ModelName
from model_store.store import ModelStore, ModelVersion
from tests.support.factories.models import convolutions, model_version


def _aliases(root: Path, **lines: str) -> None:
    body = "\n".join(f'"{left}" = "{right}"' for left, right in lines.items())
    (root / "aliases.toml").write_text(f"[aliases]\n{body}\n", encoding="utf-8")


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    model_version(tmp_path, "toy-ct", "1.0.0")
    model_version(tmp_path, "toy-ct", "1.10.0", network=convolutions(1))
    model_version(tmp_path, "toy-ct", "1.9.0", network=convolutions(2))
    _aliases(tmp_path, **{"ct-default@production": "toy-ct@1.0.0"})
    return ModelStore(tmp_path)


def test_a_version_is_found_by_its_name(store: ModelStore) -> None:
    assert str(store.resolve("toy-ct@1.9.0").ref) == "toy-ct@1.9.0"
    assert str(store.resolve(ModelName("toy-ct", "1.9.0")).ref) == "toy-ct@1.9.0"


def test_an_alias_leads_to_its_version(store: ModelStore) -> None:
    assert str(store.resolve("ct-default@production").ref) == "toy-ct@1.0.0"


def test_versions_are_listed_in_the_order_of_their_numbers(store: ModelStore) -> None:
    assert [version.ref.version for version in store.versions()] == ["1.0.0", "1.9.0", "1.10.0"]


class _Deleting:
    """A guard behind whose back the last version is deleted."""

    def __init__(self, last: Path) -> None:
        self._last = last

    def admit(self, folder: Path) -> ModelVersion:
        shutil.rmtree(self._last, ignore_errors=True)
        return ModelVersion.open(folder)


def test_a_version_that_is_deleted_while_they_are_listed_is_left_out(
    store: ModelStore, tmp_path: Path
) -> None:
    guarded = ModelStore(tmp_path, guard=_Deleting(tmp_path / "toy-ct" / "1.10.0"))
    assert [version.ref.version for version in guarded.versions()] == ["1.0.0", "1.9.0"]
    assert guarded.refused() == {}


@pytest.mark.parametrize(
    "name", ["toy-ct@2.0.0", "toy-ct@production", "other@1.0.0", "toy-ct", "../toy-ct@1.0.0"]
)
def test_an_unknown_name_is_answered_with_what_there_is(store: ModelStore, name: str) -> None:
    with pytest.raises(UnknownModelError) as caught:
        store.resolve(name)
    if "@" in name and ".." not in name:
        assert "toy-ct@1.10.0" in str(caught.value)
        assert "ct-default@production" in str(caught.value)


def test_an_alias_of_a_version_that_is_gone_names_both(tmp_path: Path) -> None:
    _aliases(tmp_path, **{"ct-default@production": "toy-ct@1.0.0"})
    with pytest.raises(
        UnknownModelError, match=r"toy-ct@1\.0\.0.*ct-default@production stands for"
    ):
        ModelStore(tmp_path).resolve("ct-default@production")


def test_later_folders_override_aliases(store: ModelStore, tmp_path: Path) -> None:
    more = tmp_path / "more"
    model_version(more, "mine", "1.0.0")
    _aliases(more, **{"ct-default@production": "mine@1.0.0"})
    both = ModelStore(tmp_path, [more])
    assert str(both.resolve("ct-default@production").ref) == "mine@1.0.0"
    assert str(both.resolve("toy-ct@1.0.0").ref) == "toy-ct@1.0.0"


def test_one_version_with_two_contents_is_refused(store: ModelStore, tmp_path: Path) -> None:
    more = tmp_path / "more"
    model_version(more, "toy-ct", "1.0.0", network=convolutions(7))
    with pytest.raises(ModelIntegrityError, match="different bytes"):
        ModelStore(tmp_path, [more]).resolve("toy-ct@1.0.0")


@pytest.mark.parametrize(
    "text",
    ["[aliases", "aliases = 3", '[aliases]\n"x" = "toy-ct@1.0.0"', '[aliases]\n"a@b" = "c@d"',
     '[aliases]\n"a@1.0.0" = "c@1.0.0"', '[aliases]\n"a@b" = 7'],
)  # fmt: skip
def test_malformed_aliases_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "aliases.toml").write_text(text, encoding="utf-8")
    with pytest.raises(ManifestError):
        ModelStore(tmp_path).aliases()


def test_a_folder_that_holds_another_version_is_refused(store: ModelStore, tmp_path: Path) -> None:
    (tmp_path / "toy-ct" / "1.0.0").rename(tmp_path / "toy-ct" / "3.0.0")
    with pytest.raises(ManifestError, match=r"1\.0\.0"):
        store.resolve("toy-ct@3.0.0")


def test_a_store_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="not a folder"):
        ModelStore(tmp_path / "absent")


def test_untouched_files_verify(store: ModelStore) -> None:
    version = store.resolve("toy-ct@1.0.0")
    version.verify()
    assert hashlib.sha256(version.read()).hexdigest() == version.ref.sha256


def test_one_changed_bit_is_noticed(store: ModelStore) -> None:
    version = store.resolve("toy-ct@1.0.0")
    data = bytearray(version.onnx_path.read_bytes())
    data[len(data) // 2] ^= 1
    version.onnx_path.write_bytes(data)
    with pytest.raises(ModelIntegrityError, match="sha256"):
        version.verify()
    with pytest.raises(ModelIntegrityError, match="sha256"):
        version.read()


def test_a_missing_file_is_noticed(store: ModelStore) -> None:
    version = store.resolve("toy-ct@1.0.0")
    version.onnx_path.unlink()
    with pytest.raises(ModelIntegrityError, match="cannot be read"):
        version.verify()
    with pytest.raises(ModelIntegrityError, match="cannot be read"):
        version.read()


def test_only_files_of_the_manifest_can_be_read(store: ModelStore) -> None:
    with pytest.raises(ModelIntegrityError, match="not in the manifest"):
        store.resolve("toy-ct@1.0.0").read("manifest.json")


@pytest.mark.parametrize(
    "name",
    ["../secret", "/etc/passwd", "a/b", "..", ".", "", "a\\b", "C:x", "a\0b", "w.pt", "w.PKL"],
)
def test_unsafe_file_names_are_refused(tmp_path: Path, name: str) -> None:
    digest = hashlib.sha256(b"").hexdigest()
    network = convolutions().SerializeToString()
    files = {"model.onnx": hashlib.sha256(network).hexdigest(), name: digest}
    with pytest.raises(ModelIntegrityError):
        model_version(tmp_path, network=network, files=files)


def test_a_reference_must_be_the_manifests_own(store: ModelStore) -> None:
    one, two = store.resolve("toy-ct@1.0.0"), store.resolve("toy-ct@1.9.0")
    with pytest.raises(ManifestError):
        ModelVersion(one.ref, two.manifest, one.folder)


def test_the_packaged_zoo_is_whole() -> None:
    versions = ModelStore().versions()
    assert versions, "the package carries released models"
    for version in versions:
        version.verify()
    for name in ModelStore().aliases():
        ModelStore().resolve(name)


def test_resolving_imports_no_engine() -> None:
    code = (
        "import sys; from model_store.store import ModelStore; ModelStore().aliases();"
        "print([m for m in ('openvino', 'onnx', 'onnxruntime', 'torch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

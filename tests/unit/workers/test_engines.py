"""Denoisers are built of exactly the version that was planned, and kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from dicom_node.errors import FailItem, RetryLater
from dicom_node.models import Models
from dicom_node.settings import Settings, WorkerSettings
from model_store.engines.base import EngineMemoryError
from model_store.ref import ModelName, ModelRef
from tests.support.factories.models import model_version
from workers.engines import Denoisers

SETTINGS = WorkerSettings(engine="onnxruntime", threads=1)


@pytest.fixture
def store(tmp_path: Path) -> Models:
    for number in range(6):
        model_version(tmp_path, version=f"1.0.{number}")
    settings = Settings(
        storage={"path": tmp_path / "node"},
        models={"path": str(tmp_path), "unsigned": "accept"},
    )
    return Models.without_ledger(settings)


def ref(store: Models, version: str = "1.0.0") -> ModelRef:
    return store.resolve(ModelName("toy-ct", version)).ref


def test_a_denoiser_is_built_once(store: Models) -> None:
    denoisers = Denoisers(store, SETTINGS)
    assert denoisers.get(ref(store)) is denoisers.get(ref(store))


def test_the_least_used_is_let_go(store: Models) -> None:
    denoisers = Denoisers(store, SETTINGS)
    first = denoisers.get(ref(store))
    for number in range(1, 6):
        denoisers.get(ref(store, f"1.0.{number}"))
    assert denoisers.get(ref(store)) is not first


def test_whatever_routes_name_stays_built(store: Models) -> None:
    denoisers = Denoisers(store, SETTINGS)
    names = {ModelName("toy-ct", f"1.0.{number}") for number in range(6)}
    denoisers.warm(names)
    first = denoisers.get(ref(store))
    for number in range(1, 6):
        denoisers.get(ref(store, f"1.0.{number}"))
    assert denoisers.get(ref(store)) is first


def test_other_bytes_than_were_planned_fail(store: Models) -> None:
    planned = ModelRef("toy-ct", "1.0.0", "f" * 64)
    with pytest.raises(FailItem, match="planned"):
        Denoisers(store, SETTINGS).get(planned)


def test_a_file_that_was_changed_fails(store: Models, tmp_path: Path) -> None:
    wanted = ref(store)
    file = tmp_path / "toy-ct" / "1.0.0" / "model.onnx"
    file.write_bytes(file.read_bytes() + b"\0")
    with pytest.raises(FailItem):
        Denoisers(store, SETTINGS).get(wanted)


def test_an_unknown_version_fails(store: Models) -> None:
    with pytest.raises(FailItem):
        Denoisers(store, SETTINGS).get(ModelRef("toy-ct", "9.9.9", "0" * 64))


def test_an_engine_that_this_machine_does_not_have_is_waited_for(store: Models) -> None:
    with pytest.raises(RetryLater):
        Denoisers(store, WorkerSettings(engine="tensorrt")).get(ref(store))


def test_memory_that_others_hold_is_waited_for(
    store: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> object:
        raise EngineMemoryError("no memory for its plan")

    monkeypatch.setattr("workers.engines.choose_engine", full)
    with pytest.raises(RetryLater, match="no memory"):
        Denoisers(store, SETTINGS).get(ref(store))


def test_warming_up_a_broken_model_stops_nothing(store: Models) -> None:
    denoisers = Denoisers(store, SETTINGS)
    denoisers.warm({ModelName("toy-ct", "9.9.9"), ModelName("no-such", "production")})
    assert denoisers.get(ref(store)) is not None


def test_what_is_loaded_goes_on_when_its_file_is_changed(store: Models, tmp_path: Path) -> None:
    wanted = ref(store)
    denoisers = Denoisers(store, SETTINGS)
    loaded = denoisers.get(wanted)
    file = tmp_path / "toy-ct" / "1.0.0" / "model.onnx"
    file.write_bytes(file.read_bytes()[:-1])
    assert denoisers.get(wanted) is loaded
    another_process = Denoisers(store, SETTINGS)
    for said in ("sha256", "quarantine"):
        with pytest.raises(FailItem, match=said):
            another_process.get(wanted)
    assert denoisers.get(wanted) is loaded

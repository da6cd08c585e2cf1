import errno
import hashlib
import json
import multiprocessing
import os
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from model_store.engines.tensorrt import plan as plan_module
from model_store.engines.tensorrt.engine import make_plan
from model_store.engines.tensorrt.key import PlanKey, plan_key
from model_store.engines.tensorrt.library import TensorrtLibrary
from model_store.engines.tensorrt.network import BuildOutput, BuildSettings
from model_store.engines.tensorrt.plan import PlanCache, default_folder, kept_plans
from model_store.engines.tensorrt.profile import Profile
from model_store.errors import EngineError, ModelIntegrityError
from tests.support.factories.device import H200
from tests.support.factories.models import convolutions, model_version

PROFILE = Profile("slices", (1, 2, 2), (2, 32, 32), (2, 32, 32))
LIBRARY = TensorrtLibrary("tensorrt", "11.3.0.1", None)


def key(**changes: object) -> PlanKey:
    parts: dict[str, object] = {
        "released": b"a", "given": b"b", "precision": "f32", "profiles": (PROFILE,),
        "settings": BuildSettings(), "library": LIBRARY, "device": H200,
    }  # fmt: skip
    return plan_key(**{**parts, **changes})  # type: ignore[arg-type]


class Builder:
    """Builds a plan that differs every time, as TensorRT's do."""

    def __init__(self) -> None:
        self.given: list[bytes] = []

    def __call__(self, timings: bytes) -> BuildOutput:
        self.given.append(timings)
        return BuildOutput(b"plan %d" % len(self.given), b"timings %d" % len(self.given))


def test_the_same_makes_the_same_key() -> None:
    assert key() == key()
    assert len(key().digest) == 64


@pytest.mark.parametrize(
    "changes",
    [
        {"released": b"other"},
        {"given": b"other"},
        {"precision": "f16"},
        {"profiles": (replace(PROFILE, most=(4, 32, 32)),)},
        {"settings": BuildSettings(level=4)},
        {"settings": BuildSettings(workspace=1)},
        {"library": replace(LIBRARY, version="11.3.0.2")},
        {"library": replace(LIBRARY, name="tensorrt_rtx")},
    ],
)
def test_whatever_a_plan_is_built_from_changes_its_key(changes: dict[str, object]) -> None:
    assert key(**changes).digest != key().digest


@pytest.mark.parametrize("name", [field.name for field in fields(H200)])
def test_whatever_a_device_is_changes_key_and_timings(name: str) -> None:
    old = getattr(H200, name)
    other = not old if isinstance(old, bool) else old + (1 if isinstance(old, int) else " MIG 1g")
    change: dict[str, Any] = {name: other}
    changed = key(device=replace(H200, **change))
    assert changed.digest != key().digest
    assert changed.device != key().device


def test_a_plan_is_built_once_and_then_read(tmp_path: Path) -> None:
    build, cache = Builder(), PlanCache(tmp_path / "plans")
    first, second = cache.get(key(), build), cache.get(key(), build)
    assert len(build.given) == 1
    assert first.data == second.data == b"plan 1"
    assert (first.story, second.story) == ("built", "from the cache")
    assert second.sha256 == hashlib.sha256(b"plan 1").hexdigest()


def test_timings_are_kept_for_the_device_only(tmp_path: Path) -> None:
    build, cache = Builder(), PlanCache(tmp_path / "plans")
    cache.get(key(), build)
    cache.get(key(precision="f16"), build)
    cache.get(key(device=replace(H200, name="NVIDIA L40S")), build)
    assert build.given == [b"", b"timings 1", b""]


def _only(folder: Path, ending: str) -> Path:
    (found,) = folder.glob(f"*/*.{ending}")
    return found


def _changed_plan(folder: Path) -> None:
    _only(folder, "plan").write_bytes(b"plan 0")


def _no_note(folder: Path) -> None:
    _only(folder, "json").unlink()


def _broken_note(folder: Path) -> None:
    _only(folder, "json").write_text("{", encoding="utf-8")


def _foreign_note(folder: Path) -> None:
    path = _only(folder, "json")
    note = json.loads(path.read_text(encoding="utf-8"))
    note["parts"]["device.name"] = "NVIDIA L40S"
    path.write_text(json.dumps(note), encoding="utf-8")


def _plan_of_another_key(folder: Path) -> None:
    PlanCache(folder).get(key(precision="f16"), Builder())
    device = folder / key().device
    for ending in ("plan", "json"):
        other = device / f"{key(precision='f16').digest}.{ending}"
        other.replace(device / f"{key().digest}.{ending}")


def _writable_by_others(folder: Path) -> None:
    _only(folder, "plan").chmod(0o666)


def _linked(folder: Path) -> None:
    path = _only(folder, "plan")
    path.rename(folder / "elsewhere")
    path.symlink_to(folder / "elsewhere")


def _empty(folder: Path) -> None:
    _only(folder, "plan").write_bytes(b"")


@pytest.mark.parametrize(
    "spoil",
    [_changed_plan, _no_note, _broken_note, _foreign_note, _plan_of_another_key,
     _writable_by_others, _linked, _empty],
)  # fmt: skip
def test_a_foreign_or_changed_plan_is_refused_and_built_again(
    tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    folder = tmp_path / "plans"
    build, cache = Builder(), PlanCache(folder)
    cache.get(key(), build)
    spoil(folder)
    again = cache.get(key(), build)
    assert again.data == b"plan 2"
    assert again.story.startswith("built again: ")
    assert cache.get(key(), build).story == "from the cache"
    assert len(build.given) == 2


def test_a_folder_that_others_may_write_to_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "plans"
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(EngineError, match="nobody else may write"):
        PlanCache(folder)


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(EngineError, match="plan cache"):
        PlanCache(tmp_path / "file" / "plans")


def test_a_build_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def fails(timings: bytes) -> BuildOutput:
        raise EngineError("no")

    cache = PlanCache(tmp_path / "plans")
    with pytest.raises(EngineError, match="no"):
        cache.get(key(), fails)
    assert not list(tmp_path.glob("plans/*/*.*"))
    assert cache.get(key(), Builder()).story == "built"


def test_what_is_kept_is_listed_without_loading_it(tmp_path: Path) -> None:
    folder = tmp_path / "plans"
    assert kept_plans(folder) == ()
    cache = PlanCache(folder)
    for precision in ("f32", "f16"):
        cache.get(key(precision=precision), Builder())
    (folder / key().device / f"{key(precision='f16').digest}.plan").write_bytes(b"other")
    (folder / key().device / "broken.json").write_text("{", encoding="utf-8")
    (folder / key().device / "odd.json").write_text("[]", encoding="utf-8")
    found = {kept.parts["precision"]: kept for kept in kept_plans(folder)}
    assert {precision: kept.intact for precision, kept in found.items()} == {
        "f32": True,
        "f16": False,
    }
    assert found["f32"].key == key().digest
    assert found["f32"].size == len(b"plan 1")


def _ask(folder: Path, log: Path, barrier: object) -> None:
    def build(timings: bytes) -> BuildOutput:
        with log.open("a", encoding="utf-8") as stream:
            stream.write("built\n")
        return BuildOutput(b"plan", b"")

    barrier.wait(30)  # type: ignore[attr-defined]
    assert PlanCache(folder).get(key(), build).data == b"plan"


def test_a_plan_that_cannot_be_kept_is_used_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, data: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    cache, build = PlanCache(tmp_path / "plans"), Builder()
    monkeypatch.setattr(plan_module, "_write", full)
    plan = cache.get(key(), build)
    assert (plan.data, plan.story) == (b"plan 1", "built; not kept: No space left on device")
    monkeypatch.undo()
    assert cache.get(key(), build).story == "built"


def test_of_several_processes_one_builds(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(4)
    log = tmp_path / "log"
    asking = [
        context.Process(target=_ask, args=(tmp_path / "plans", log, barrier)) for _ in range(4)
    ]
    for process in asking:
        process.start()
    for process in asking:
        process.join(30)
    assert [process.exitcode for process in asking] == [0] * 4
    assert log.read_text(encoding="utf-8") == "built\n"


def test_the_folder_is_the_services_own_if_it_has_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("CACHE_DIRECTORY", raising=False)
    monkeypatch.setattr(plan_module, "_SERVICE_CACHE", tmp_path / "service")
    assert default_folder() == tmp_path / "dicom-node" / "plans"
    (tmp_path / "service").mkdir()
    assert default_folder() == tmp_path / "service" / "plans"
    monkeypatch.setenv("CACHE_DIRECTORY", "/var/cache/dicom-node:/other")
    assert default_folder() == Path("/var/cache/dicom-node/plans")


def test_a_version_becomes_a_plan_of_this_library(library: TensorrtLibrary, tmp_path: Path) -> None:
    version = model_version(tmp_path)
    made = [make_plan(version, "f16", library, H200, tmp_path / "plans") for _ in range(2)]
    assert made[0].plan.data == made[1].plan.data
    assert made[1].plan.story == "from the cache"
    assert [profile.name for profile in made[0].profiles] == ["slices", "tiles"]
    assert made[0].plan.key.parts["onnx"] == version.ref.sha256
    other = make_plan(version, "f32", library, H200, tmp_path / "plans")
    assert other.plan.story == "built"


def test_changed_bytes_never_become_a_plan(library: TensorrtLibrary, tmp_path: Path) -> None:
    version = model_version(tmp_path)
    version.onnx_path.write_bytes(convolutions(9).SerializeToString())
    with pytest.raises(ModelIntegrityError):
        make_plan(version, "f32", library, H200, tmp_path / "plans")

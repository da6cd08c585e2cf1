"""A running node with a shadow: measured on live series, delivered unchanged, and replayed."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset, dcmread

from dicom_node.bell.outbox import SilentBell
from dicom_node.ledger import shadow_measures
from dicom_node.ledger.engine import make_engine
from dicom_node.ledger.unit_of_work import Ledger
from dicom_node.settings import load
from model_store.registry.records import Measure
from tests.support.factories.dicom import ct_series
from tests.support.factories.models import convolutions, model_version
from tests.support.node import RunningNode
from tests.support.pacs import FakePacs
from tests.support.scanner import send

OLD, NEW = "toy-ct@1.0.0", "toy-ct@1.1.0"
ALIAS = "toy-ct@production"
STUDY = "1.2.826.0.1.3680043.8.498.77"
SERIES = 8


@pytest.fixture(scope="module")
def pacs() -> Iterator[FakePacs]:
    with FakePacs() as pacs:
        yield pacs


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, pacs: FakePacs) -> Iterator[RunningNode]:
    """A node that has denoised eight series with one version while another ran beside it."""
    folder = tmp_path_factory.mktemp("shadow")
    models = folder / "models"
    model_version(models)
    model_version(models, version="1.1.0", network=convolutions(seed=1, amplitude=0.02))
    (models / "aliases.toml").write_text(f'[aliases]\n"{ALIAS}" = "{OLD}"\n', encoding="utf-8")
    node = RunningNode(folder / "node")
    route = f'name = "ct"\nwhen = {{ Modality = "CT" }}\nmodel = "{ALIAS}"\n'
    node.configure(
        {"pacs": ("FAKEPACS", pacs.port)},
        [route + 'destinations = ["pacs"]'],
        f'[models]\npath = "{models}"\nunsigned = "accept"\nshadow_instances = 1\n'
        '[workers]\nengine = "openvino"\nthreads = 1\n',
    )
    node.command("db", "upgrade")
    node.command("model", "shadow", NEW, "--of", ALIAS, "--share", "1", "--why", "trial")
    node.start()
    for number in range(SERIES):
        series = ct_series(2, size=(96, 80), seed=10 * number, StudyInstanceUID=STUDY)
        statuses = send(series, node.port, folder)
        assert statuses == [0, 0]
    node.wait(lambda states: states["delivered"] == 2 * SERIES)
    wait_for_measures(node)
    yield node
    node.kill()


def measures(node: RunningNode) -> list[Measure]:
    engine = make_engine(load(node.config).database_url)
    with Ledger(engine, SilentBell()).read() as session:
        found = shadow_measures.measures(session, "toy-ct", OLD, NEW)
    engine.dispose()
    return found


def wait_for_measures(node: RunningNode) -> None:
    """Shadows run after delivery: the last may be yet to come."""
    deadline = time.monotonic() + 60
    while len({each.series_uid for each in measures(node)}) < SERIES:
        if time.monotonic() > deadline:
            raise AssertionError(f"{measures(node)}; the node's log:\n{node.read_log()}")
        time.sleep(0.2)


def results(pacs: FakePacs) -> list[Dataset]:
    return [dcmread(BytesIO(one.data), force=True) for one in list(pacs.received)]


def test_every_series_is_measured_and_none_is_delivered_twice(
    node: RunningNode, pacs: FakePacs
) -> None:
    found = measures(node)
    assert {each.error for each in found} == {None}
    assert {each.route for each in found} == {"ct"}
    for each in found:
        assert each.noise_input is not None
        assert each.noise_input > 0
        assert each.rms_difference is not None
        assert each.rms_difference > 0, "the versions differ"
    assert len(pacs.received) == 2 * SERIES
    assert all("toy-ct" in str(one.SeriesDescription) for one in results(pacs))
    said = {str(one.DerivationDescription).split(",")[0] for one in results(pacs)}
    assert said == {f"Denoised by model {OLD}"}


def test_the_verdict_is_there(node: RunningNode) -> None:
    before: list[Measure] = []
    while before != (before := measures(node)):  # a series may yet be measured by another image
        found: dict[str, Any] = json.loads(
            node.command("model", "compare", ALIAS, "--json", check=False)
        )
    assert (found["production"], found["shadow"]) == (OLD, NEW)
    assert found["series"] == SERIES
    assert found["failures"] == 0
    assert found["conclusion"] in ("less noise", "more noise", "alike", "shifted")
    assert found["noise"]["low"] <= found["noise"]["value"] <= found["noise"]["high"]
    logs: dict[str, list[float]] = {}
    for each in before:
        assert each.noise_shadow
        assert each.noise_production
        logs.setdefault(each.series_uid, []).append(
            np.log(each.noise_shadow / each.noise_production)
        )
    expected = np.exp(np.mean([np.mean(of_series) for of_series in logs.values()]))
    assert found["noise"]["value"] == pytest.approx(float(expected))


def test_the_delivered_study_is_replayed_identical(node: RunningNode) -> None:
    said = node.command("study", "replay", STUDY)
    assert f"{2 * SERIES} of {2 * SERIES} results identical in every pixel ({OLD})" in said
    assert "result:person:replayed" in node.command("audit", "list", "--study", STUDY)


def test_one_delivered_result_is_replayed(node: RunningNode, pacs: FakePacs) -> None:
    uid = pacs.uids[0]
    (found,) = json.loads(node.command("study", "replay", uid, "--json"))
    assert (found["result"], found["outcome"], found["changed"]) == (uid, "identical", [])


def test_a_changed_file_of_the_version_is_named(node: RunningNode) -> None:
    file = node.folder.parent / "models" / "toy-ct" / "1.0.0" / "model.onnx"
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    try:
        said = node.command("study", "replay", STUDY, check=False)
    finally:
        file.write_bytes(whole)
    assert "model.onnx has sha256" in said
    assert f"0 of {2 * SERIES} results identical" in said

"""Gates: each says what it found, and nothing that a firm one refuses is run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dicom_node import model_gates
from dicom_node.ledger import certificates, model_versions
from dicom_node.ledger.unit_of_work import Ledger
from dicom_node.models import Models
from dicom_node.node import Node
from dicom_node.settings import Settings
from dicom_node.spool.spool import Spool
from model_store.errors import ManifestError, QuarantinedError, UnknownModelError
from model_store.manifest import TilingSpec
from model_store.ref import ModelName
from model_store.registry import gates, promotion
from model_store.registry.gates import Verdict
from model_store.registry.records import Certificate
from model_store.store import ModelVersion
from model_store.trust.signature import sign
from tests.support.factories.models import STORED, convolutions, model_version
from tests.support.factories.released import key_pair, released
from tests.support.ledgers import fresh_url, open_ledger

pytestmark = pytest.mark.holds(number=12)

NAME = ModelName("toy-ct", "1.0.0")
ALIAS = ModelName("toy-ct", "production")


class Bench:
    """A node's models and ledger, and a version that is to be promoted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key = key_pair(folder / "keys")
        self.settings = self.configured()
        self.ledger: Ledger = open_ledger(fresh_url(folder / "spool"))

    def configured(self, **sections: Any) -> Settings:
        models = {"trust": self.folder / "keys"} | sections.pop("models", {})
        return Settings(
            storage={"path": self.folder / "spool"},
            models=models,
            workers={"engine": "onnxruntime", "threads": 1},
            **sections,
        )

    def release(self, version: str = "1.0.0", *, signed: bool = True, **how: Any) -> ModelVersion:
        root = self.folder / "spool" / "models"
        return released(root, "toy-ct", version, key=self.key if signed else None, **how)

    def node(self, models: Models) -> Node:
        return Node(self.settings, self.ledger, Spool(self.folder / "spool"), models)

    def judge(
        self, name: ModelName = NAME, current: ModelVersion | None = None
    ) -> dict[str, Verdict]:
        models = Models.open(self.settings, self.ledger)
        node = self.node(models)
        version = promotion.open_version(models, name)
        candidate = model_gates.candidate(node, version, ALIAS, current)
        asked = model_gates.every(node, "me@here")
        try:
            said = promotion.judge(asked, candidate)
        finally:
            candidate.close()
        self.firmly = promotion.firmly_refused(asked, said)
        return {each.gate: each for each in said}

    def refused(self, *arguments: Any, **options: Any) -> dict[str, str]:
        return {
            name: each.said
            for name, each in self.judge(*arguments, **options).items()
            if not each.passed
        }


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.ledger.engine.dispose()


def test_a_version_that_is_well_passes_and_every_gate_says_why(bench: Bench) -> None:
    bench.release()
    said = bench.judge()
    assert list(said) == [
        "signature", "state", "graph", "behaviour", "equivalence", "metrics", "purpose"
    ]  # fmt: skip
    assert all(each.passed for each in said.values()), said
    assert said["signature"].said.startswith("signed by Vendor, tests (")
    assert said["equivalence"].said.startswith("largest difference ")
    assert "2 numbers within bounds; nearest: headline.noise of 10 HU" in said["metrics"].said
    assert bench.firmly == ()


def test_an_engine_that_is_too_far_off_is_refused_by_how_much(bench: Bench) -> None:
    bench.release(beside=2.3)
    refused = bench.refused()
    assert list(refused) == ["equivalence"]
    assert refused["equivalence"].startswith("largest difference 2.3 HU, limit 1 HU (mean ")
    assert bench.firmly == ()


def test_radiographs_have_a_limit_of_their_own(bench: Bench) -> None:
    bench.settings = bench.configured(promotion={"equivalence_grey": 3, "equivalence_hu": 0.001})
    bench.release(input_spec=STORED, beside=4)
    assert bench.refused()["equivalence"].startswith(
        "largest difference 4 grey levels of 12 bits, limit 3 grey levels of 12 bits"
    )


def test_a_certificate_is_made_once_and_held_against_the_limit_of_today(bench: Bench) -> None:
    bench.release(beside=2.3)
    bench.judge()
    (made,) = _certificates(bench)
    assert made.largest == pytest.approx(2.3, abs=0.01)
    assert (made.engine, made.precision, made.units, made.who) == (
        "onnxruntime", "f32", "HU", "me@here"
    )  # fmt: skip
    assert not made.passed
    assert made.library["library"]
    bench.settings = bench.configured(promotion={"equivalence_hu": 2.5})
    assert bench.refused() == {}
    assert _certificates(bench) == (made,)


def _certificates(bench: Bench) -> tuple[Certificate, ...]:
    with bench.ledger.read() as session:
        return certificates.newest_first(session, NAME)


def test_another_library_needs_another_certificate(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.release()
    bench.judge()
    monkeypatch.setattr(
        "model_store.registry.certificates.library", lambda engine: {"library": "99.0"}
    )
    bench.judge()
    assert [each.library["library"] == "99.0" for each in _certificates(bench)] == [True, False]


def test_metrics_that_miss_the_policy_are_all_named(bench: Bench) -> None:
    bench.settings = bench.configured(
        promotion={
            "metrics": [
                {"metric": "headline.*.model", "over": "input", "minimum": 5},
                {"metric": "headline.*.ssim", "minimum": 0.9},
                {"metric": "headline.*.ssim", "minimum": 0.9, "modality": ["DX"]},
            ]
        }
    )
    bench.release()
    said = bench.refused()["metrics"]
    assert "noise of 10 HU.model over input is 2, at least 5 is asked for, 3 too little" in said
    assert "no headline.*.ssim" in said
    assert "25 HU" not in said


def test_without_rules_metrics_are_not_asked_for(bench: Bench) -> None:
    bench.settings = bench.configured(promotion={"metrics": []})
    bench.release()
    assert "no rule" in bench.judge()["metrics"].said


def test_what_nobody_vouches_for_is_not_run_and_the_rest_is_said_all_the_same(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gates, "choose_engine", _never)
    bench.release(signed=False)
    refused = bench.refused()
    assert list(refused) == ["signature", "behaviour", "equivalence"]
    assert refused["equivalence"] == "not run: refused by signature"
    assert bench.firmly == ("signature",)


def _never(*_: object) -> None:
    raise AssertionError("an engine was built")


def test_without_a_signature_where_that_is_accepted(bench: Bench) -> None:
    bench.settings = bench.configured(models={"unsigned": "accept"})
    bench.release(signed=False)
    assert bench.refused() == {}


def test_a_key_that_is_not_trusted(bench: Bench) -> None:
    version = bench.release()
    (bench.folder / "keys" / "vendor.pub").unlink()
    assert "which is not trusted here" in bench.refused()["signature"]
    assert version.ref.name == "toy-ct"


def test_a_changed_byte_is_found_and_quarantines(bench: Bench) -> None:
    version = bench.release()
    version.onnx_path.write_bytes(version.onnx_path.read_bytes() + b"\0")
    refused = bench.refused()
    assert "model.onnx has sha256" in refused["signature"]
    assert "in quarantine since" in refused["state"]
    assert "model.onnx has sha256" in refused["graph"]
    assert refused["behaviour"] == "not run: refused by signature and state and graph"


def test_quarantine_is_the_state_and_says_nothing_of_the_bytes(bench: Bench) -> None:
    bench.release()
    models = Models.open(bench.settings, bench.ledger)
    models.quarantine.put(NAME, "for a test")
    refused = bench.refused()
    assert list(refused) == ["state", "behaviour", "equivalence"]
    assert "for a test" in refused["state"]


def test_a_retired_version_says_who_and_why(bench: Bench) -> None:
    found = model_versions.VersionOnDisk.read(bench.release(), "store", None)
    with bench.ledger.write() as unit:
        model_versions.index(unit, found, "me@here")
        model_versions.retire(unit, NAME, "she@there", "smears vessels")
    assert "by she@there: smears vessels" in bench.refused()["state"]


def test_a_graph_that_no_engine_is_given(bench: Bench) -> None:
    bench.release()
    folder = bench.folder / "spool" / "models"
    sign(model_version(folder, "toy-ct", "2.0.0", network=b"\x08\x0a"), bench.key)
    refused = bench.refused(ModelName("toy-ct", "2.0.0"))
    assert "graph" in refused
    assert refused["behaviour"] == "not run: refused by graph"
    assert "metrics" in refused


def test_a_manifest_that_lies_about_the_margin(bench: Bench) -> None:
    bench.release(tiling=TilingSpec(margin=0, stride=1), network=convolutions(amplitude=0.005))
    refused = bench.refused()
    assert "its margin of 0" in refused["behaviour"]
    assert bench.firmly == ("behaviour",)


def test_an_engine_that_is_not_here_is_a_refusal_in_words(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.release()
    bench.settings = bench.settings.model_copy(
        update={"workers": bench.settings.workers.model_copy(update={"precision": "bf16"})}
    )
    refused = bench.refused()
    assert "f32 only" in refused["behaviour"]
    assert refused["equivalence"] == "not run: refused by behaviour"


def test_a_version_for_other_images_than_now(bench: Bench) -> None:
    now = bench.release("1.0.0")
    bench.release("2.0.0", input_spec=STORED)
    refused = bench.refused(ModelName("toy-ct", "2.0.0"), now)
    assert refused == {
        "purpose": "toy-ct@production stands for toy-ct@1.0.0, which is for CT (HU); "
        "toy-ct@2.0.0 is for DX, CR (stored)"
    }


def test_a_packaged_version_needs_no_signature(bench: Bench) -> None:
    models = Models.open(bench.settings, bench.ledger)
    name = ModelName("drunet-ct", "1.0.0")
    node = bench.node(models)
    candidate = model_gates.candidate(node, promotion.open_version(models, name), ALIAS)
    said = promotion.judge(model_gates.whole(node), candidate)
    assert all(each.passed for each in said), said
    assert "came with the package" in said[0].said


def test_what_cannot_even_be_opened_is_quarantined_and_said(bench: Bench) -> None:
    version = bench.release()
    (version.folder / "manifest.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ManifestError):
        bench.judge()
    with pytest.raises(QuarantinedError):
        Models.open(bench.settings, bench.ledger).version(NAME)


def test_what_is_not_there_is_not_judged(bench: Bench) -> None:
    with pytest.raises(UnknownModelError, match=r"toy-ct@9.0.0"):
        bench.judge(ModelName("toy-ct", "9.0.0"))

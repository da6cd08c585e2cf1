"""TensorRT builds plans of networks that others would bring."""

from __future__ import annotations

import pytest

from model_store.engines.tensorrt.library import TensorrtLibrary
from model_store.engines.tensorrt.network import BuildSettings, TensorrtNetwork
from model_store.engines.tensorrt.precision import PlanPrecision, typed
from model_store.engines.tensorrt.profile import Profile
from model_store.ref import ModelRef

foreign = pytest.importorskip("tests.support.factories.foreign")

REF = ModelRef("theirs", "1.0.0", "0" * 64)
SMALL = (Profile("slices", (1, 32, 32), (2, 32, 32), (2, 64, 64)),)


@pytest.mark.parametrize("precision", ["f32", "f16"])
@pytest.mark.parametrize("kind", ["gelu", "window attention", "pixel shuffle"])
def test_a_plan_is_built(kind: str, precision: PlanPrecision, library: TensorrtLibrary) -> None:
    given = typed(foreign.foreign(kind), precision, REF)
    made = TensorrtNetwork(library, given, REF).build(SMALL, BuildSettings(), b"")
    assert len(made.plan) > 1000

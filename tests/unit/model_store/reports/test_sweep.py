from __future__ import annotations

from typing import Any

import pytest

from model_store.manifest import InputSpec, Manifest, TilingSpec, TrainedNoise, Validity
from model_store.reports.sweep import Sweep


def _manifest(units: Any = "HU", maximum: float = 60.0) -> Manifest:
    return Manifest(
        name="toy",
        version="1.0.0",
        system="other",
        modality=("CT",),
        input=InputSpec(units=units, minimum=0, maximum=1),
        tiling=TilingSpec(margin=0, stride=1),
        trained_noise=TrainedNoise(minimum_sd=0, maximum_sd=maximum, description="none"),
        files={"model.onnx": "0" * 64},
        parameters=0,
        macs_per_pixel=0,
        intended_use="tests",
        training_data="none",
        licence="none",
    )


def _table(rows: list[list[float | None]]) -> dict[str, Any]:
    return {"columns": ["noise HU", "PSNR in", "gain dB"], "rows": rows, "note": "why"}


def test_a_table_gives_the_crossing_in_decibels_and_in_noise() -> None:
    table = _table([[0.0, None, None], [2.0, 50.0, -1.0], [10.0, 40.0, 1.0], [60.0, 20.0, 8.0]])
    sweep = Sweep.tabled(_manifest(), [{"columns": ["other"], "rows": []}, table])
    assert sweep is not None
    assert sweep.gain == ((20.0, 8.0), (40.0, 1.0), (50.0, -1.0))
    assert sweep.crossing == pytest.approx(45.0)
    assert sweep.crossing_sd == pytest.approx(6.0)
    assert sweep.trained == (20.0, float("inf"))
    assert sweep.out[0] == (20.0, 28.0)
    assert sweep.note == "why"


def test_a_gain_that_never_ends_has_no_crossing() -> None:
    sweep = Sweep.tabled(_manifest(), [_table([[5.0, 40.0, 2.0], [50.0, 20.0, 8.0]])])
    assert sweep is not None
    assert sweep.crossing is None
    assert not sweep.helps_nowhere


def test_noise_of_radiographs_follows_from_decibels() -> None:
    rows: list[list[float | None]] = [[0, 20.0, 5.0], [0, 40.0, 0.0], [0, 41.0, -1.0]]
    sweep = Sweep.tabled(_manifest("stored", 0.1), [_table(rows)])
    assert sweep is not None
    assert sweep.crossing_sd == pytest.approx(0.01)
    assert sweep.trained is not None
    assert sweep.trained[0] == pytest.approx(20.0)


def test_without_a_table_there_is_no_sweep() -> None:
    assert Sweep.tabled(_manifest(), []) is None


def test_what_the_manifest_states_is_taken_as_it_is() -> None:
    validity = Validity(
        measure="PSNR",
        noise="white noise",
        images=4,
        gain_curve=((20.0, -1.0), (40.0, -3.0)),
        noise_sd=(0.1, 0.01),
        trained_sd=(0.01, 0.1),
        trained_psnr=(20.0, 40.0),
        zero_crossing_psnr=20.0,
        zero_crossing_sd=0.1,
        statement="It never helps.",
    )
    sweep = Sweep.stated(validity)
    assert sweep.helps_nowhere
    assert (sweep.crossing, sweep.crossing_sd, sweep.trained) == (20.0, 0.1, (20.0, 40.0))
    assert sweep.note == "4 images. White noise. It never helps."

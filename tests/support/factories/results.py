"""Result specifications for tests."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from model_store.ref import ModelRef
from workers.encode import ResultSpec

MODEL = ModelRef("drl-ct", "1.2.3", "ab" * 32)


def result_spec(**changes: Any) -> ResultSpec:
    """Return a specification, each part of which can be changed by name."""
    parts: dict[str, Any] = {
        "form": "secondary-capture",
        "model": MODEL,
        "engine": "torch reference f32",
        "strength": 0.7,
        "route": "ct",
        "sop_instance_uid": "2.25.1001",
        "series_instance_uid": "2.25.1002",
        "series_number": 1002,
        "series_description": "Synthetic denoised",
        "derivation_description": "Denoised by drl-ct@1.2.3",
        "at": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        "device_serial_number": "node-1",
        "institution_name": "Hospital of the Tests",
        "software_version": "0.1.0",
    }
    return ResultSpec(**(parts | changes))

"""In CI nothing is skipped that a package could bring."""

from __future__ import annotations

from typing import Any, Literal

import pytest

from tests import NO_PACKAGE, conftest


def report(outcome: Literal["passed", "failed", "skipped"], why: str) -> pytest.TestReport:
    place = ("test_x.py", 1, f"Skipped: {why}")
    return pytest.TestReport(
        "test_x.py::test", ("test_x.py", 1, "test"), {}, outcome, place, "call"
    )


@pytest.mark.parametrize(
    ("why", "outcome"),
    [
        ("openssl is not installed", "failed"),
        ("could not import 'fsspec'", "failed"),
        (f"{NO_PACKAGE}: real images", "skipped"),
    ],
)
def test_a_skip_fails_there_unless_no_package_brings_it(
    monkeypatch: pytest.MonkeyPatch, why: str, outcome: str
) -> None:
    monkeypatch.setenv("CI", "true")
    found = conftest._failed_in_ci(report("skipped", why))
    assert found.outcome == outcome
    if outcome == "failed":
        assert why in str(found.longrepr)


@pytest.mark.parametrize("ci", [None, ""])
def test_elsewhere_a_skip_is_a_skip(monkeypatch: pytest.MonkeyPatch, ci: str | None) -> None:
    monkeypatch.delenv("CI", raising=False) if ci is None else monkeypatch.setenv("CI", ci)
    assert (
        conftest._failed_in_ci(report("skipped", "openssl is not installed")).outcome == "skipped"
    )


def test_what_was_expected_to_fail_is_no_skip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    expected: Any = report("skipped", "not yet")
    expected.wasxfail = "reason: not yet"
    assert conftest._failed_in_ci(expected).outcome == "skipped"


@pytest.mark.parametrize("outcome", ["passed", "failed"])
def test_what_ran_stays(
    monkeypatch: pytest.MonkeyPatch, outcome: Literal["passed", "failed"]
) -> None:
    monkeypatch.setenv("CI", "true")
    assert conftest._failed_in_ci(report(outcome, "whatever")).outcome == outcome

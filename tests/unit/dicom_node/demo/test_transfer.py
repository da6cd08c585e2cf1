"""What has not arrived is named, with the reason that the ledger knows."""

from __future__ import annotations

from dicom_node.demo.images import SeriesFiles
from dicom_node.demo.ledger import EMPTY, SeriesState
from dicom_node.demo.node import GIVEN_PACS
from dicom_node.demo.transfer import ExpectedSeries, SeriesProgress

EXPECTED = ExpectedSeries("CT", "1.2", ("1.2.1", "1.2.2"))


def seen(
    *came: str,
    ended: dict[str, str] | None = None,
    delivered: int = 0,
    given: bool = False,
    delays: dict[str, int] | None = None,
) -> SeriesProgress:
    state = SeriesState(2, len(came), {GIVEN_PACS: delivered}, ended or {}, delays or {})
    return SeriesProgress(EXPECTED, frozenset(came), state, given)


def test_everything_came() -> None:
    now = seen("1.2.1", "1.2.2")
    assert now.finished
    assert now.counts == (2, 2, 2)
    assert not now.hopeless


def test_a_given_pacs_must_have_everything_too() -> None:
    assert not seen("1.2.1", "1.2.2", given=True, delivered=1).finished
    assert seen("1.2.1", "1.2.2", given=True, delivered=2).finished


def test_waiting_is_useless_only_when_all_that_is_missing_has_ended() -> None:
    assert not seen("1.2.1").hopeless
    assert seen("1.2.1", ended={"1.2.2": "failed: no model"}).hopeless
    assert not seen(ended={"1.2.2": "failed: no model"}).hopeless
    refused = seen("1.2.1", "1.2.2", given=True, ended={"1.2.2": "failed: refused"}, delivered=1)
    assert refused.hopeless


def test_the_complaint_names_instances_and_reasons() -> None:
    text = seen(ended={"1.2.2": "failed: no model"}, delays={"pacs: busy": 3}).complaint
    assert "0 of 2" in text
    assert "1.2.1  no result yet" in text
    assert "1.2.2  failed: no model" in text
    assert "pacs: busy (3 times)" in text


def test_counts_never_lag_behind_what_came() -> None:
    assert SeriesProgress(EXPECTED, frozenset({"1.2.1"}), EMPTY, False).counts == (1, 1, 1)


def test_a_series_is_known_by_its_headers(series: SeriesFiles) -> None:
    expected = ExpectedSeries.of(series)
    assert expected.label == "CT"
    assert len(set(expected.sop_uids)) == len(series.files)

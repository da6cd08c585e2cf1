"""Send every series, and wait until every result has been delivered."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from pydicom import dcmread
from rich.console import Console

from dicom_node.demo.errors import ResultsMissing
from dicom_node.demo.images import SeriesFiles
from dicom_node.demo.ledger import EMPTY, LedgerView, SeriesState
from dicom_node.demo.network import Endpoint
from dicom_node.demo.node import GIVEN_PACS, SCANNER, NodeProcess
from dicom_node.demo.pacs import Arrival, Pacs
from dicom_node.demo.progress import Board
from dicom_node.demo.scanner import SentSeries, send

_POLL_S = 0.2
_GRACE_S = 3.0
_NAMED_AT_MOST = 8


@dataclass(frozen=True, slots=True)
class ExpectedSeries:
    """What a series must come back as.

    Parameters
    ----------
    label : str
        How it is called on the screen.
    series_uid : str
        Series Instance UID.
    sop_uids : tuple of str
        SOP Instance UIDs of its instances; each gives one result.
    """

    label: str
    series_uid: str
    sop_uids: tuple[str, ...]

    @classmethod
    def of(cls, series: SeriesFiles) -> ExpectedSeries:
        """Read the headers of a series."""
        headers = [dcmread(file, stop_before_pixels=True) for file in series.files]
        uids = tuple(str(header.SOPInstanceUID) for header in headers)
        return cls(series.name.upper(), str(headers[0].SeriesInstanceUID), uids)


@dataclass(frozen=True, slots=True)
class SeriesProgress:
    """How far a series is, by its arrivals and by the ledger.

    Parameters
    ----------
    expected : ExpectedSeries
        The series.
    came : frozenset of str
        SOP Instance UIDs of sources whose result is in the demonstration's PACS.
    state : SeriesState
        What the ledger shows.
    given : bool
        Whether the user's PACS must have everything, too.
    """

    expected: ExpectedSeries
    came: frozenset[str]
    state: SeriesState
    given: bool

    @property
    def missing(self) -> tuple[str, ...]:
        """Sources whose result has not come."""
        return tuple(uid for uid in self.expected.sop_uids if uid not in self.came)

    @property
    def delivered(self) -> int:
        """Results that have reached every destination."""
        total = len(self.expected.sop_uids)
        own = total - len(self.missing)
        return min(own, self.state.delivered.get(GIVEN_PACS, 0)) if self.given else own

    @property
    def finished(self) -> bool:
        """Whether everything has reached every destination."""
        return self.delivered == len(self.expected.sop_uids)

    @property
    def hopeless(self) -> bool:
        """Whether what is missing has ended in the ledger and will not come by itself."""
        open_ones = [uid for uid in self.missing if uid not in self.state.ended]
        return not self.finished and bool(self.state.ended) and not open_ones

    @property
    def counts(self) -> tuple[int, int, int]:
        """Received, denoised, delivered; what came was received and denoised."""
        came = len(self.expected.sop_uids) - len(self.missing)
        return max(self.state.received, came), max(self.state.denoised, came), self.delivered

    @property
    def complaint(self) -> str:
        """What did not arrive, and why as far as the ledger knows."""
        total = len(self.expected.sop_uids)
        lines = [f"{self.expected.label}: {self.delivered} of {total} delivered"]
        why = self.state.ended
        known = [uid for uid in self.expected.sop_uids if uid in self.missing or uid in why]
        lines += [f"  {uid}  {why.get(uid, 'no result yet')}" for uid in known[:_NAMED_AT_MOST]]
        if len(known) > _NAMED_AT_MOST:
            lines.append(f"  and {len(known) - _NAMED_AT_MOST} more")
        lines += [f"  {answer} ({count} times)" for answer, count in self.state.delays.items()]
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class RoundTrip:
    """What was sent and what came back.

    Parameters
    ----------
    sent : tuple of SentSeries
        In the order of the series.
    result_of : dict of str to Arrival
        By SOP Instance UID of the source.
    """

    sent: tuple[SentSeries, ...]
    result_of: dict[str, Arrival]

    @property
    def seconds(self) -> tuple[float, ...]:
        """For each series: from the first byte sent to the arrival of its last result."""
        return tuple(self._last(sent) - sent.started for sent in self.sent)

    @property
    def all_seconds(self) -> float:
        """From the first byte sent to the arrival of the last result of all."""
        return max(map(self._last, self.sent)) - min(sent.started for sent in self.sent)

    def _last(self, sent: SentSeries) -> float:
        return max(self.result_of[uid].at for uid in sent.sop_uids)


def transfer(
    series: Sequence[SeriesFiles],
    *,
    node: Endpoint,
    process: NodeProcess,
    pacs: Pacs,
    ledger_file: Path,
    console: Console,
    given: bool = False,
    timeout_s: float = 300.0,
) -> RoundTrip:
    """Send each series over its own association, all at the same time, and wait.

    Raises
    ------
    DemoError
        If sending fails or the node ends.
    ResultsMissing
        If something is not delivered in time, or has ended without a result.
    """
    expected = [ExpectedSeries.of(one) for one in series]
    deadline = time.monotonic() + timeout_s
    ledger = LedgerView(ledger_file)
    totals = {one.label: len(one.sop_uids) for one in expected}
    hopeless_since: float | None = None
    try:
        with Board(console, totals) as board, ThreadPoolExecutor(len(series)) as pool:
            sending = [pool.submit(send, one.files, node, calling=SCANNER) for one in series]
            while True:
                process.check()
                all_sent = _all_sent(sending)
                seen = _look(expected, ledger, pacs, given=given)
                finished = all_sent and all(one.finished for one in seen)
                board.show({one.expected.label: one.counts for one in seen}, last=finished)
                now = time.monotonic()
                if finished:
                    break
                if now > deadline:
                    raise ResultsMissing(_complaints(f"not all in {timeout_s:.0f} s", seen))
                waiting = [one for one in seen if not one.finished]
                if not (all_sent and all(one.hopeless for one in waiting)):
                    hopeless_since = None
                elif hopeless_since is None:
                    hopeless_since = now
                elif now - hopeless_since > _GRACE_S:
                    raise ResultsMissing(_complaints("some ended without a result", seen))
                time.sleep(_POLL_S)
    finally:
        ledger.close()
    return RoundTrip(
        tuple(one.result() for one in sending),
        {arrival.source_uid: arrival for arrival in pacs.arrivals() if arrival.source_uid},
    )


def _look(
    expected: Sequence[ExpectedSeries], ledger: LedgerView, pacs: Pacs, *, given: bool
) -> list[SeriesProgress]:
    states = ledger.read()
    came = frozenset(a.source_uid for a in pacs.arrivals() if a.source_uid)
    return [
        SeriesProgress(
            one, came & frozenset(one.sop_uids), states.get(one.series_uid, EMPTY), given
        )
        for one in expected
    ]


def _all_sent(sending: Sequence[Future[SentSeries]]) -> bool:
    for future in sending:
        if future.done():
            future.result()  # raises what the sender met
    return all(future.done() for future in sending)


def _complaints(what: str, seen: Sequence[SeriesProgress]) -> str:
    lines = [one.complaint for one in seen if not one.finished]
    return "\n".join([f"results are missing: {what}", *lines])

"""The scanner: a Storage SCU that sends one series over one association."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydicom import Dataset, dcmread
from pynetdicom import AE, evt

from dicom_node.demo.errors import DemoError
from dicom_node.demo.network import Endpoint, leave_answers, without_delay

_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class SentSeries:
    """What was sent.

    Parameters
    ----------
    series_uid : str
        Series Instance UID.
    sop_uids : tuple of str
        SOP Instance UIDs in the order of sending.
    started, ended : float
        ``time.monotonic()`` before the first byte of the first object and after the last answer.
    bytes : int
        Size of the files together.
    """

    series_uid: str
    sop_uids: tuple[str, ...]
    started: float
    ended: float
    bytes: int


def send(
    files: Sequence[Path],
    node: Endpoint,
    *,
    calling: str = "SCANNER",
    progress: Callable[[], None] = lambda: None,
) -> SentSeries:
    """Send `files`, all of one series, over one association.

    Parameters
    ----------
    files : sequence of Path
        DICOM files, sent in this order with the transfer syntax that they have.
    node : Endpoint
        Where to send them.
    calling : str
        AE title of the scanner.
    progress : callable
        Called after each object that was accepted.

    Raises
    ------
    DemoError
        If the association is refused or lost, or an object is not accepted with 0x0000.
    """
    headers = [dcmread(file, stop_before_pixels=True) for file in files]
    entity = AE(calling)
    entity.maximum_pdu_size = 0
    entity.connection_timeout = entity.acse_timeout = entity.dimse_timeout = _TIMEOUT_S
    for sop_class, syntax in dict.fromkeys(map(_context, headers)):
        entity.add_requested_context(sop_class, syntax)
    started = time.monotonic()
    association = entity.associate(
        node.host,
        node.port,
        ae_title=node.ae_title,
        evt_handlers=[(evt.EVT_CONN_OPEN, without_delay), (evt.EVT_CONN_OPEN, leave_answers)],
    )
    if not association.is_established:
        raise DemoError(f"the association to {node} was not established")
    try:
        for file, header in zip(files, headers, strict=True):
            status = association.send_c_store(dcmread(file))
            code = int(status.Status) if "Status" in status else None
            if code != 0:
                answer = "no answer" if code is None else f"0x{code:04X}"
                raise DemoError(f"{node} did not store {header.SOPInstanceUID}: {answer}")
            progress()
    except (RuntimeError, ValueError) as error:
        raise DemoError(f"sending to {node} failed: {error}") from error
    finally:
        if association.is_established:
            association.release()
    return SentSeries(
        series_uid=str(headers[0].SeriesInstanceUID),
        sop_uids=tuple(str(header.SOPInstanceUID) for header in headers),
        started=started,
        ended=time.monotonic(),
        bytes=sum(file.stat().st_size for file in files),
    )


def _context(header: Dataset) -> tuple[str, str]:
    return str(header.SOPClassUID), str(header.file_meta.TransferSyntaxUID)

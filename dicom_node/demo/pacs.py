"""A small receiving PACS: stores what it is sent and remembers when each object came."""

from __future__ import annotations

import re
import threading
import time
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Self, cast

from pydicom import dcmread
from pydicom.errors import InvalidDicomError
from pydicom.uid import (
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)
from pynetdicom import AE, DEFAULT_TRANSFER_SYNTAXES, AllStoragePresentationContexts, evt
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]
from pynetdicom.transport import ThreadedAssociationServer

from dicom_node.demo.network import LOOPBACK, without_delay

_SUCCESS, _CANNOT_UNDERSTAND, _OUT_OF_RESOURCES = 0x0000, 0xC000, 0xA700
_UID = re.compile(r"[0-9.]{1,64}")
_SYNTAXES = [
    *DEFAULT_TRANSFER_SYNTAXES,
    JPEGLSLossless,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    RLELossless,
]


@dataclass(frozen=True, slots=True)
class Arrival:
    """One object that the PACS stored.

    Parameters
    ----------
    sop_instance_uid : str
        Of the object itself.
    source_uid : str or None
        First item of its Source Image Sequence (PS3.3 C.7.6.1).
    path : Path
        Where it lies, as a DICOM file.
    at : float
        ``time.monotonic()`` when it was stored.
    """

    sop_instance_uid: str
    source_uid: str | None
    path: Path
    at: float


class Pacs:
    """A Storage and Verification SCP on loopback.

    Parameters
    ----------
    folder : Path
        Existing folder for the objects.
    ae_title : str
        AE title to answer to.
    port : int
        TCP port; 0 takes a free one, see `port`.
    """

    def __init__(self, folder: Path, *, ae_title: str = "PACS", port: int = 0) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._arrivals: dict[str, Arrival] = {}
        self.ae_title = ae_title
        self._entity = AE(ae_title)
        self._entity.maximum_pdu_size = 0
        self._entity.require_called_aet = True
        for context in AllStoragePresentationContexts:
            self._entity.add_supported_context(context.abstract_syntax or "", _SYNTAXES)
        self._entity.add_supported_context(Verification)
        server = self._entity.start_server(
            (LOOPBACK, port),
            block=False,
            evt_handlers=[(evt.EVT_C_STORE, self._store), (evt.EVT_CONN_OPEN, without_delay)],
        )
        self._server = cast(ThreadedAssociationServer, server)

    @property
    def port(self) -> int:
        """The TCP port that it listens on."""
        return int(self._server.server_address[1])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()

    def arrivals(self) -> tuple[Arrival, ...]:
        """Return everything that has come so far, in order of arrival."""
        with self._lock:
            return tuple(self._arrivals.values())

    def _store(self, event: Any) -> int:
        """Answer a C-STORE.

        Returns
        -------
        int
            0x0000 stored; 0xC000 not a DICOM object; 0xA700 the disk refused it (PS3.4 B.2.3).
        """
        encoded = event.encoded_dataset()
        try:
            header = dcmread(BytesIO(encoded), stop_before_pixels=True)
        except (InvalidDicomError, EOFError, ValueError):
            return _CANNOT_UNDERSTAND
        uid = str(event.request.AffectedSOPInstanceUID)
        if not _UID.fullmatch(uid):
            return _CANNOT_UNDERSTAND
        sources = header.get("SourceImageSequence") or []
        source = str(sources[0].get("ReferencedSOPInstanceUID", "")) if sources else None
        path = self._folder / f"{uid}.dcm"
        try:
            path.write_bytes(encoded)
        except OSError:
            return _OUT_OF_RESOURCES
        with self._lock:
            self._arrivals.setdefault(uid, Arrival(uid, source, path, time.monotonic()))
        return _SUCCESS

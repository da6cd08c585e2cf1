"""C-FIND to a destination: which instances of a series it holds (PS3.4 Annex C)."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from pydicom.dataset import Dataset

from dicom_node.scu import Line, NoAnswer, Trouble, address_of, associated
from dicom_node.settings import DestinationSettings

STUDY_ROOT_FIND: Final = "1.2.840.10008.5.1.4.1.2.2.1"
"""Study Root Query/Retrieve Information Model - FIND."""

_TRIES: Final = 2
_SUCCESS: Final = 0x0000
_PENDING: Final = frozenset({0xFF00, 0xFF01})
_CUT_SHORT: Final = frozenset({0xFE00, 0xA700, 0xB001})
"""Statuses of servers that limit how many matches they return."""

_FAILURES: Final = {
    0x0122: "SOP class not supported",
    0x0124: "not authorized",
    0xA900: "identifier does not match SOP class",
}


@dataclass(frozen=True, slots=True)
class Found:
    """What a destination says it holds.

    Attributes
    ----------
    uids
        SOP Instance UIDs.
    complete
        Whether it said that these are all; False where it stopped at a limit.
    """

    uids: frozenset[str]
    complete: bool


class Finder:
    """Asks one destination, over one association that is opened with the first question.

    Parameters
    ----------
    destination : DestinationSettings
    calling_ae_title : str
        Ours, unless the destination's settings name another.
    """

    def __init__(self, destination: DestinationSettings, calling_ae_title: str) -> None:
        self._destination = destination
        self._calling = destination.calling_ae_title or calling_ae_title
        self._stack = ExitStack()
        self._line: Line | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close()

    def instances(self, study_uid: str, series_uid: str, sop_instance_uid: str = "") -> Found:
        """Ask for the instances of a series, or for one of them.

        An association that ends is opened again, once a question.

        Parameters
        ----------
        study_uid, series_uid : str
            Unique keys of the levels above (PS3.4 C.4.1.2.1); never empty.
        sop_instance_uid : str
            Only this one; empty: all of the series.

        Returns
        -------
        Found

        Raises
        ------
        NoAnswer
            The destination cannot be asked, does not offer C-FIND (`Trouble.NO_CONTEXT`), or
            answered with a failure.
        """
        if not study_uid or not series_uid:
            raise ValueError("a query at IMAGE level needs the UIDs of study and series")
        query = Dataset()
        query.QueryRetrieveLevel = "IMAGE"
        query.StudyInstanceUID = study_uid
        query.SeriesInstanceUID = series_uid
        query.SOPInstanceUID = sop_instance_uid
        for _ in range(_TRIES):
            line = self._opened()
            found = self._ask(line, query)
            if found is not None:
                return found
            self._close()
        where = address_of(self._destination)
        if line.aborted_by_peer:
            words = f"aborted the association when asked; let it allow {self._calling!r} to query"
            raise NoAnswer(Trouble.ABORTED, f"{where} {words}")
        raise NoAnswer(Trouble.TIMEOUT, f"{where} did not answer C-FIND in time, or hung up")

    def _opened(self) -> Line:
        if self._line is None or not self._line.association.is_established:
            self._close()
            self._line = self._open()
        return self._line

    def _ask(self, line: Line, query: Dataset) -> Found | None:
        """Return the answer; None if the association ended before it."""
        uids: set[str] = set()
        readable = True
        try:
            for status, identifier in line.association.send_c_find(query, STUDY_ROOT_FIND):
                code = status.get("Status")
                if code is None:
                    return None
                if code in _PENDING:
                    uid = "" if identifier is None else str(identifier.get("SOPInstanceUID") or "")
                    readable = readable and bool(uid)
                    uids.add(uid)
                elif code == _SUCCESS or code in _CUT_SHORT:
                    whole = readable and code == _SUCCESS
                    return Found(frozenset(uids - {""}), whole)
                else:
                    raise self._refusal(code)
        except RuntimeError:  # pynetdicom's word for an association that has just ended
            return None
        return None

    def _open(self) -> Line:
        seconds = self._destination.timeout_seconds
        try:
            return self._stack.enter_context(
                associated(self._destination, self._calling, STUDY_ROOT_FIND, seconds)
            )
        except NoAnswer as error:
            if error.trouble is not Trouble.NO_CONTEXT:
                raise
            message = f"{address_of(self._destination)} does not offer C-FIND (Study Root)"
            raise NoAnswer(error.trouble, message) from error

    def _refusal(self, code: int) -> NoAnswer:
        words = _FAILURES.get(code, "unable to process")
        message = f"{address_of(self._destination)} answered C-FIND with 0x{code:04X}: {words}"
        return NoAnswer(Trouble.FAILED, message)

    def _close(self) -> None:
        self._stack.close()
        self._line = None

"""C-FIND to a destination: which instances of a series it holds (PS3.4 Annex C)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from io import BytesIO
from types import TracebackType
from typing import Final, Self

from pydicom.dataset import Dataset

from dicom_node.dicom.reading import VALUE_ERRORS
from dicom_node.network.request.scu import Line, NoAnswer, Trouble, address_of, associated
from dicom_node.settings import DestinationSettings

STUDY_ROOT_FIND: Final = "1.2.840.10008.5.1.4.1.2.2.1"
"""Study Root Query/Retrieve Information Model - FIND."""

_TRIES: Final = 2
_LOW_PRIORITY: Final = 2
_SUCCESS: Final = 0x0000
_PENDING_ANY: Final = 0xFF00
_PENDING: Final = frozenset({_PENDING_ANY, 0xFF01})
_CUT_SHORT: Final = frozenset({0xFE00, 0xA700, 0xB001})
"""Statuses of servers that limit how many matches they return."""

_FAILURES: Final = {
    0x0122: "SOP class not supported",
    0x0124: "not authorized",
    0xA900: "identifier does not match SOP class",
}


@dataclass(frozen=True, slots=True)
class Holdings:
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
        self._message_id = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close()

    def instances(self, study_uid: str, series_uid: str, sop_instance_uid: str = "") -> Holdings:
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
        Holdings

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
            line.cut()
            self._close()
        where = address_of(self._destination)
        if line.aborted_by_peer:
            words = f"aborted the association when queried; let it allow {self._calling!r} to query"
            raise NoAnswer(Trouble.ABORTED, f"{where} {words}")
        raise NoAnswer(Trouble.TIMEOUT, f"{where} did not answer C-FIND in time, or hung up")

    def _opened(self) -> Line:
        if self._line is not None and not self._line.is_up:
            self._close()
        if self._line is None:
            self._line = self._open()
        return self._line

    def _ask(self, line: Line, query: Dataset) -> Holdings | None:
        """Return the answer; None if there was none."""
        uids: set[str] = set()
        readable = True
        for code, uid in self._answers(line, query):
            if code in _PENDING:
                readable = readable and bool(uid)
                uids.add(uid)
            elif code == _SUCCESS or code in _CUT_SHORT:
                return Holdings(frozenset(uids - {""}), complete=readable and code == _SUCCESS)
            else:
                raise self._refusal(code)
        return None

    def _answers(self, line: Line, query: Dataset) -> Iterator[tuple[int, str]]:
        """Send one C-FIND-RQ; yield the status and SOP Instance UID of each response.

        The responses are read here, not by `Association.send_c_find`, whose reactor may take one
        away (see `dicom_node.network.request.scu.associated`). Ends early if none comes in time,
        or an invalid one.
        """
        from pynetdicom.dimse_primitives import C_FIND  # noqa: PLC0415 -- keeps start-up light
        from pynetdicom.dsutils import encode  # noqa: PLC0415 -- keeps start-up light

        association = line.association
        context = association.accepted_contexts[0]
        syntax = context.transfer_syntax[0]
        how = (syntax.is_implicit_VR, syntax.is_little_endian, syntax.is_deflated)
        self._message_id = self._message_id % 0xFFFF + 1
        request = C_FIND()
        request.MessageID = self._message_id
        request.AffectedSOPClassUID = STUDY_ROOT_FIND
        request.Priority = _LOW_PRIORITY
        request.Identifier = BytesIO(encode(query, *how) or b"")
        association.dimse.send_msg(request, context.context_id)
        code = _PENDING_ANY
        while code in _PENDING:
            _, answer = association.dimse.get_msg(block=True)
            if (
                not isinstance(answer, C_FIND)
                or not answer.is_valid_response
                or answer.MessageIDBeingRespondedTo != self._message_id
            ):
                return
            code = answer.Status or _SUCCESS
            yield code, _uid_of(answer.Identifier, how) if code in _PENDING else ""

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


def _uid_of(identifier: BytesIO | None, how: tuple[bool, bool, bool]) -> str:
    """Return the SOP Instance UID of a match, empty where it cannot be read."""
    from pynetdicom.dsutils import decode  # noqa: PLC0415 -- keeps start-up light

    if identifier is None:
        return ""
    try:
        return str(decode(identifier, *how).get("SOPInstanceUID") or "")
    except VALUE_ERRORS:
        return ""

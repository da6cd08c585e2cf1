"""One object at a time: from fragments to a durable file, the intake, and a DICOM status."""

from __future__ import annotations

import hashlib
import logging
from typing import TYPE_CHECKING, Final

import structlog

from dicom_node.dicom.file_meta import file_header
from dicom_node.dicom.sop_classes import is_storage
from dicom_node.errors import NodeError, RetryLater, StorageError
from dicom_node.network.accept.ports import DUPLICATE, SUCCESS, Caller, Intake, ReceivedInstance

if TYPE_CHECKING:
    from dicom_node.dicom.command_set import Command
    from dicom_node.spool.spool import IncomingFile, Spool

INVALID_INSTANCE: Final = 0x0117
CLASS_NOT_SUPPORTED: Final = 0x0122
OUT_OF_RESOURCES: Final = 0xA700
TOO_LARGE: Final = 0xA701
CANNOT_UNDERSTAND: Final = 0xC000
PROCESSING_FAILED: Final = 0xC211

COMMENTS: Final = {
    DUPLICATE: "this SOP Instance UID is known here with other bytes",
    INVALID_INSTANCE: "no valid SOP Instance UID in the request",
    CLASS_NOT_SUPPORTED: "not a storage SOP class",
    OUT_OF_RESOURCES: "no space or no ledger at the moment, send again later",
    TOO_LARGE: "the object is over the size limit of this node",
    CANNOT_UNDERSTAND: "no data set",
    PROCESSING_FAILED: "the object cannot be taken over",
}
"""What the Error Comment (0000,0902) of each refusal says."""

_WARNINGS: Final = range(0xB000, 0xC000)

log = structlog.get_logger(__name__)


class StoreReceiver:
    """Receives the objects of one association, one after the other.

    `begin`, then `data` for every fragment, then `finish`; `discard` at any moment instead.
    Whatever is refused is still read to its end, so that the association goes on. Statuses are
    those of PS3.7 Section 9.1.1.1.9 and PS3.4 Table B.2-1:

    ====== ======================================================================================
    0x0000 what `Intake.store` answered; so are warnings and its own failures
    0x0117 Affected SOP Instance UID missing, longer than 64, or not of digits and dots
    0x0122 Affected SOP Class UID missing, or of a class that does not come by C-STORE
    0xA700 no space, disk fault, or the intake failed in a way that may pass: send again later
    0xA701 over `max_object_bytes` (in the range of Refused: Out of Resources, as it is the size
           that is refused)
    0xC000 the request announces no data set, or it is empty
    0xC211 the intake failed in a way that will not pass
    ====== ======================================================================================

    An Affected SOP Class UID that differs from the abstract syntax of the presentation context is
    taken: the node accepts every storage class anyway.

    Parameters
    ----------
    spool
        Where the file is written.
    intake
        Takes the file over.
    caller
        The association.
    max_object_bytes
        Largest data set, in bytes; 0 is unlimited.
    """

    def __init__(self, spool: Spool, intake: Intake, caller: Caller, max_object_bytes: int) -> None:
        self._spool: Final = spool
        self._intake: Final = intake
        self._caller: Final = caller
        self._limit: Final = max_object_bytes
        self._last_size = 0
        self._file: IncomingFile | None = None
        self._hash = hashlib.sha256()
        self._size = 0
        self._refusal = SUCCESS
        self._reason = ""
        self._command: Command | None = None
        self._transfer_syntax_uid = ""

    def begin(self, command: Command, transfer_syntax_uid: str) -> None:
        """Start an object: open its file, unless it is to be refused."""
        self.discard()
        self._command = command
        self._transfer_syntax_uid = transfer_syntax_uid
        self._size = 0
        self._reason = ""
        self._refusal = self._check(command)
        if self._refusal != SUCCESS:
            return
        self._hash = hashlib.sha256(transfer_syntax_uid.encode("ascii") + b"\0")
        header = file_header(
            sop_class_uid=command.sop_class_uid,
            sop_instance_uid=command.sop_instance_uid,
            transfer_syntax_uid=transfer_syntax_uid,
            source_ae_title=self._caller.calling_ae_title,
        )
        try:
            self._file = self._spool.incoming()
            self._file.write(header)
        except StorageError as error:
            self._refuse(OUT_OF_RESOURCES, error)

    def data(self, fragment: memoryview) -> None:
        """Take the next bytes of the data set."""
        self._size += len(fragment)
        if self._file is None:
            return
        if self._limit and self._size > self._limit:
            self._refuse(TOO_LARGE)
            return
        try:
            self._file.write(fragment)
        except StorageError as error:
            self._refuse(OUT_OF_RESOURCES, error)
            return
        self._hash.update(fragment)

    def finish(self) -> int:
        """End the object and return the status to answer.

        0x0000 means: durable in the spool, and taken over by the intake.
        """
        command = self._command
        if command is None:
            raise RuntimeError("finish without begin")
        status = self._refusal
        try:
            if status == SUCCESS:
                status = self._hand_over(command)
        finally:
            self.discard()
        if status != SUCCESS and status not in _WARNINGS:
            log.log(
                logging.ERROR if self._reason else logging.WARNING,
                "instance.refused",
                association=self._caller.association_id,
                sop_instance_uid=command.sop_instance_uid,
                status=f"0x{status:04X}",
                reason=self._reason or COMMENTS.get(status, "the intake does not take it"),
            )
        return status

    def discard(self) -> None:
        """Forget the object in hand, and remove its file unless the intake has moved it."""
        file, self._file = self._file, None
        self._command = None
        if file is not None:
            try:
                file.discard()
            except StorageError as error:
                log.warning("instance.file_left", reason=str(error))

    def _check(self, command: Command) -> int:
        if not is_storage(command.sop_class_uid) or not command.sop_class_uid:
            return CLASS_NOT_SUPPORTED
        if not command.sop_instance_uid:
            return INVALID_INSTANCE
        if not command.has_data_set:
            return CANNOT_UNDERSTAND
        if not self._intake.has_space(self._last_size):
            return OUT_OF_RESOURCES
        return SUCCESS

    def _hand_over(self, command: Command) -> int:
        if self._size == 0 or self._file is None:
            return CANNOT_UNDERSTAND
        self._last_size = self._size
        try:
            self._file.sync()
            return self._intake.store(
                ReceivedInstance(
                    path=self._file.path,
                    size=self._size,
                    sha256=self._hash.hexdigest(),
                    sop_class_uid=command.sop_class_uid,
                    sop_instance_uid=command.sop_instance_uid,
                    transfer_syntax_uid=self._transfer_syntax_uid,
                    caller=self._caller,
                )
            )
        except NodeError as error:
            self._reason = str(error)
            return OUT_OF_RESOURCES if isinstance(error, RetryLater) else PROCESSING_FAILED

    def _refuse(self, status: int, error: StorageError | None = None) -> None:
        self._refusal = status
        if error is not None:
            self._reason = str(error)
        if self._file is not None:
            file, self._file = self._file, None
            try:
                file.discard()
            except StorageError as left:
                log.warning("instance.file_left", reason=str(left))

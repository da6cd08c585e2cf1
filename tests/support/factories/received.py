"""Objects as reception leaves them: a file in the incoming folder, and what is known of it."""

from __future__ import annotations

import hashlib

from dicom_node.dicom.file_meta import FileMeta, file_header
from dicom_node.network.accept.ports import Caller, ReceivedInstance
from dicom_node.spool.spool import Spool

CT = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
CALLER = Caller("a" * 32, "CT1", "DENOISE", "10.1.2.3")


def data_set_of(whole: bytes) -> bytes:
    """The data set of a DICOM file; what is none is taken for a data set."""
    if whole[128:132] != b"DICM":
        return whole
    return whole[FileMeta.read(whole).end :]


def sha256_of(data_set: bytes, transfer_syntax_uid: str = EXPLICIT) -> str:
    """What `ReceivedInstance.sha256` says of a data set."""
    return hashlib.sha256(transfer_syntax_uid.encode() + b"\0" + data_set).hexdigest()


def received(
    spool: Spool,
    uid: str,
    data_set: bytes,
    *,
    caller: Caller = CALLER,
    sop_class_uid: str = CT,
    transfer_syntax_uid: str = EXPLICIT,
) -> ReceivedInstance:
    """Write a data set to the incoming folder, as reception does."""
    file = spool.incoming()
    file.write(
        file_header(
            sop_class_uid=sop_class_uid,
            sop_instance_uid=uid,
            transfer_syntax_uid=transfer_syntax_uid,
            source_ae_title=caller.calling_ae_title,
        )
    )
    file.write(data_set)
    file.sync()
    return ReceivedInstance(
        path=file.path,
        size=len(data_set),
        sha256=sha256_of(data_set, transfer_syntax_uid),
        sop_class_uid=sop_class_uid,
        sop_instance_uid=uid,
        transfer_syntax_uid=transfer_syntax_uid,
        caller=caller,
    )

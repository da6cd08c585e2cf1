"""Sending results to a PACS: one association a batch, one answer an instance.

Pure with regard to the ledger: what is due, how often to try and what to do with the answers is
decided by the caller.
"""

from dicom_node.network.request.address import Address, Timeouts
from dicom_node.network.request.answers import Answer, Outgoing
from dicom_node.network.request.sender import send
from dicom_node.network.request.statuses import DeliveryOutcome, meaning

__all__ = [
    "Address",
    "Answer",
    "DeliveryOutcome",
    "Outgoing",
    "Timeouts",
    "meaning",
    "send",
]

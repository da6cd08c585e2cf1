"""Sending results to a PACS: one association a batch, one answer an instance.

Pure with regard to the ledger: what is due, how often to try and what to do with the answers is
decided by the caller.
"""

from workers.send.address import Address, Timeouts
from workers.send.answers import Answer, Outgoing
from workers.send.sender import send
from workers.send.statuses import Verdict, meaning

__all__ = [
    "Address",
    "Answer",
    "Outgoing",
    "Timeouts",
    "Verdict",
    "meaning",
    "send",
]

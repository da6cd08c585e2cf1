"""Every error of the node derives from `NodeError` and says what the queue does next."""

from __future__ import annotations

from enum import Enum


class Next(Enum):
    """What the queue does with the work that met an error."""

    RETRY = "retry"
    """Try again later, with back-off; the cause is expected to go away."""

    PASS = "pass"  # noqa: S105 -- what is next, not a secret
    """Deliberately do not process; the work item ends ``passed`` with the message as its reason."""

    FAIL = "fail"
    """Stop and wait for a person; the work item ends ``failed`` with the message as its reason."""


class NodeError(Exception):
    """Base of all errors. The message names objects by UID or ledger id, never by patient."""

    next: Next = Next.FAIL


class RetryLater(NodeError):
    """Something outside the object is at fault (network, disk, database, peer): try again."""

    next = Next.RETRY


class PassThrough(NodeError):
    """The object must not be denoised; the message is the reason that the ledger keeps."""

    next = Next.PASS


class FailItem(NodeError):
    """The object or the configuration is at fault; a person has to look."""

    next = Next.FAIL


class ConfigError(FailItem):
    """``node.toml`` or the environment is wrong; the message names the key and the remedy."""


class WrongUse(ConfigError):
    """What a command was asked for contradicts itself, or is no such thing."""


class StorageError(RetryLater):
    """The spool could not be read or written."""


class SpoolAway(StorageError):
    """The spool's folder is not there, or is not the spool: nothing is known of its files."""


class OutOfSpace(StorageError):
    """The spool is above its watermark (PS3.4 B.2.3: status 0xA700, Out of Resources)."""


class LedgerError(RetryLater):
    """The database cannot be reached, or is not at the expected migration."""


class CommitInDoubt(LedgerError):
    """The connection was lost while a transaction was committed: it may have been, or not."""


class OtherLedger(LedgerError):
    """The ledger is not the one that this process began to work on; the process has to end."""


class OtherMigration(OtherLedger):
    """The ledger is at a migration that this release does not work on; the process has to end."""


class BrokerAway(RetryLater):
    """The broker cannot be used; the ledger knows what is due, and workers look by themselves."""


class ModelNotHere(RetryLater):
    """A model version cannot be run by this process now; another may take its batches."""


class IllegalTransition(NodeError):
    """A state change that the transition table does not have."""


class UnreadableObject(FailItem):
    """The stored bytes are not a DICOM object that can be read."""


class PixelDataError(FailItem):
    """The pixel data is missing, of the wrong length, or cannot be decoded."""


class EncodeError(FailItem):
    """A result object could not be made from its source."""


class NotDenoised(NodeError):
    """A file or an array was not denoised; the message says why.

    Parameters
    ----------
    why : str
    then : Next
        PASS where it must not be denoised; FAIL where it, or what was asked for, is at fault;
        RETRY where something else is.
    """

    def __init__(self, why: str, then: Next = Next.FAIL) -> None:
        super().__init__(why)
        self.next = then


class NoImage(NotDenoised):
    """A file holds nothing that could be denoised; among images it is passed over."""


class NotWritten(RetryLater):
    """A file that was asked for could not be written; nothing half-done stays behind."""


class DeliveryRetry(RetryLater):
    """The destination is down, slow, or out of resources; the delivery is tried again."""


class AliasMoved(FailItem):
    """An alias was moved by somebody else in the meantime; nothing was changed."""


class VersionTaken(FailItem):
    """A name and version stand for other bytes already; they are never reused."""


class VersionRefused(FailItem):
    """A model version cannot be retired, or have an alias moved to it; the message says why."""

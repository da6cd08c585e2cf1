"""The page of what is exchanged: SOP classes, transfer syntaxes, statuses."""

from __future__ import annotations

from collections.abc import Iterable

from pydicom.uid import UID

from dicom_node.dicom import syntaxes
from dicom_node.network.request import negotiation, statuses
from dicom_node.routing import eligibility
from docs.pages.note import NOTE

STATUSES = (
    0x0000, 0xB000, 0xB006, 0xB007, 0x0107, 0x0111, 0x0116, 0xA700, 0x0110, 0x0213, 0x0211, 0x0122,
    0x0124, 0x0117, 0x0118, 0x0119, 0xA900, 0xC000,
)  # fmt: skip
WHOLE_RANGES = {0xA700: "A7xx", 0xA900: "A9xx", 0xC000: "Cxxx"}
OUTCOMES = {
    statuses.DeliveryOutcome.DELIVERED: "delivered",
    statuses.DeliveryOutcome.WARNING: "delivered; the warning is kept",
    statuses.DeliveryOutcome.RETRY: "tried again later",
    statuses.DeliveryOutcome.REFUSED: "dead letter: a person has to look",
}


def services() -> str:
    """Reference page of SOP classes, transfer syntaxes and statuses."""
    lines = [
        NOTE, "", "# SOP classes, transfer syntaxes, statuses", "",
        "Tables of the [conformance statement](conformance.md).", "",
        "## Images that can be denoised", "",
        "Every storage SOP class is received and kept; these are the ones whose images a route can "
        "have denoised. All others end `passed`.", "",
        "| SOP class | UID | values |", "|---|---|---|",
    ]  # fmt: skip
    for classes, values in (
        (eligibility.CT_CLASSES, "Hounsfield units"),
        (eligibility.PROJECTION_CLASSES, "stored values"),
    ):
        lines += [f"| {UID(uid).name} | `{uid}` | {values} |" for uid in sorted(classes)]
    lines += [
        "", "## Transfer syntaxes received", "",
        "For each presentation context the node accepts the first proposed syntax that it can "
        "decode and that loses nothing, else the first that it can decode, else the first of all: "
        "that object is kept as it came and ends `passed` or `failed`.", "",
        "| transfer syntax | UID | decoded |", "|---|---|---|",
    ]  # fmt: skip
    lines += [f"| {UID(uid).name} | `{uid}` | {word} |" for uid, word in _transfer_syntaxes()]
    lines += [
        "", "## Transfer syntaxes sent", "",
        "For each SOP class, each in a presentation context of its own: the syntax in which the "
        "result is stored; then the uncompressed ones; then the lossless ones. The result is sent "
        "in the first that the destination accepts.", "", "| transfer syntax | UID |", "|---|---|",
    ]  # fmt: skip
    sent = (*negotiation.UNCOMPRESSED, *negotiation.LOSSLESS)
    lines += [f"| {UID(uid).name} | `{uid}` |" for uid in sent]
    lines += [
        "", "## What a destination's answer leads to", "",
        "Statuses of C-STORE responses (PS3.4 B.2.3, PS3.7 Annex C). No answer at all, a refused "
        "connection, a rejected or an aborted association: tried again later.", "",
        "| status | meaning | the delivery is |", "|---|---|---|",
    ]  # fmt: skip
    for status in STATUSES:
        what = statuses.meaning(status)
        code = WHOLE_RANGES.get(status, f"{status:04X}")
        lines.append(f"| {code} | {what.words} | {OUTCOMES[what.outcome]} |")
    return "\n".join(lines) + "\n"


def _transfer_syntaxes() -> Iterable[tuple[str, str]]:
    for syntax in syntaxes.DECODED.values():
        yield syntax.uid, "lossless" if syntax.lossless else "lossy"

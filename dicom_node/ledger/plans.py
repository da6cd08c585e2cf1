"""What a batch is to do, with a hash that tells whether its row still says so."""

from __future__ import annotations

import hashlib
import json
from typing import Final

from dicom_node.ledger.document import is_whole
from dicom_node.ledger.tables import BatchRow

CHANGED: Final = (
    "the ledger's row of its batch is not what was planned: it was changed; find out by whom, then "
    "'dicom-node study retry' plans it anew"
)


def plan_sha256(row: BatchRow) -> str:
    """Hash of everything in a row that decides what is made of its batch and where it goes."""
    model = [row.model_name, row.model_version, row.model_sha256]
    what = [row.series_uid, row.route, *model, row.plan]
    text = json.dumps(what, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def is_as_planned(row: BatchRow) -> bool:
    """Whether a row says what was planned; rows of earlier releases have no hash to tell."""
    if not is_whole(row.plan):
        return False
    return row.plan_sha256 is None or row.plan_sha256 == plan_sha256(row)

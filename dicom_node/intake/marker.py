"""Opens the spool that is the ledger's; one that is away is neither made anew nor taken for empty.

The spool's root has a marker, which the ledger knows. So a folder under which the right file system
is not mounted, or another one is, is told from a spool whose files are gone.
"""

from __future__ import annotations

from pathlib import Path

import structlog
from sqlalchemy import Engine

from dicom_node.errors import LedgerError, StorageError
from dicom_node.ledger import spools
from dicom_node.ledger.unit_of_work import Ledger
from dicom_node.spool.spool import MARKER, Spool, found_marker


def require_unused(root: Path, engine: Engine) -> None:
    """Refuse to take a spool that was in use for the spool of a ledger that is not there.

    Parameters
    ----------
    root
        ``[storage] path``.
    engine
        Of the ledger.

    Raises
    ------
    LedgerError
        A spool is in `root`.
    StorageError
        It cannot be read.
    """
    if found_marker(root) is not None:
        where = engine.url.render_as_string(hide_password=True)
        raise LedgerError(
            f"{where} has no ledger, and the spool has been in use: the images in {root} are in no "
            "ledger here. Mount its volume, mend [database] url, or restore it from a backup; only "
            "if it is lost for good, 'dicom-node db upgrade --begin-anew' makes an empty one, "
            "which knows none of them"
        )


def open_spool(root: Path, ledger: Ledger, *, away: bool = False) -> Spool:
    """Open the ledger's spool; a ledger that knows none is given the one that is there.

    Parameters
    ----------
    root
        ``[storage] path``.
    ledger
        At this release's migration.
    away
        Whether one that is away may be opened: for who reads the ledger and perhaps no file.

    Raises
    ------
    SpoolAway
        It is not there.
    StorageError
        It cannot be made, or is another ledger's.
    """
    with ledger.read() as session:
        known = spools.marker(session)
        named = known is not None or spools.names_files(session)
    if known is not None:
        return Spool(root, marker=known, away=away)
    if named and not (root / "instances").is_dir():
        raise StorageError(
            f"the spool {root} ([storage] path) is away: the ledger names files, and there are "
            "none; mount it, or name its folder"
        )
    new = found_marker(root) is None
    spool = Spool(root)
    with ledger.write() as unit:
        spools.remember(unit, spool.marker)
        first = spools.marker(unit.session)
    if new:
        structlog.get_logger("node").info("spool.marked", marker=MARKER)
    return spool if first == spool.marker else Spool(root, marker=first, away=away)

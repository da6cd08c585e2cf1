"""Who listens on a TCP port of this machine, as the kernel has it (Linux: ``/proc/net``)."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from dicom_node.ledger import holders
from dicom_node.ledger.holders import Holder

_LISTENS: Final = "0A"
_LOCAL, _STATE, _INODE = 1, 3, 9
"""Columns of ``/proc/net/tcp``: proc(5)."""


def listener(port: int) -> Holder | None:
    """The process that listens on a port; None if none is seen, or this user may not see whose."""
    sockets = {f"socket:[{inode}]" for inode in _inodes(port)}
    if not sockets:
        return None
    for folder in Path("/proc").glob("[0-9]*/fd"):
        try:
            if any(str(each.readlink()) in sockets for each in folder.iterdir()):
                return holders.runs(int(folder.parent.name))
        except OSError:
            continue  # it has ended, or is another user's
    return None


def _inodes(port: int) -> set[str]:
    found: set[str] = set()
    for table in ("tcp", "tcp6"):
        try:
            lines = Path("/proc/net", table).read_text("ascii", "replace").splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            local = fields[_LOCAL].rpartition(":")[2]
            if fields[_STATE] == _LISTENS and int(local, 16) == port:
                found.add(fields[_INODE])
    return found

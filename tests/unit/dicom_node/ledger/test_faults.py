"""What an error of the database means: said so that one can mend it, without a restart."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dicom_node.bell.outbox import SilentBell
from dicom_node.errors import LedgerError
from dicom_node.ledger.engine import make_engine
from dicom_node.ledger.unit_of_work import Ledger
from tests.support.ledgers import fresh_url

_SOMEBODY = 65534


@contextmanager
def somebody_else() -> Iterator[None]:
    """Whom the rights of files bind, as they do not bind root."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(_SOMEBODY)
    try:
        yield
    finally:
        os.seteuid(before)


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as made:
        Path(made).chmod(0o777)
        yield Path(made)


def test_a_ledger_that_was_restored_as_root_is_written_once_it_is_given_back(folder: Path) -> None:
    """A connection that found it read-only stays so, in SQLite."""
    ledger = Ledger(make_engine(fresh_url(folder)), SilentBell())
    path = folder / "ledger.sqlite"
    path.chmod(0o444)
    with somebody_else():
        with pytest.raises(LedgerError) as caught, ledger.write():
            pass
        said = str(caught.value)
        assert str(path) in said
        assert "cannot be written" in said
        assert "chown" in said
    path.chmod(0o666)
    for log in folder.glob("ledger.sqlite-*"):
        log.chmod(0o666)
    with somebody_else(), ledger.write():
        pass
    ledger.engine.dispose()

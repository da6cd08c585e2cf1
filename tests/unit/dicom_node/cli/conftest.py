"""A ledger with something in it, and a shell beside it."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.ledgers import TWO_ROUTES, Life
from tests.unit.dicom_node.cli.shell import CONFIG, Shell, receive


@pytest.fixture(autouse=True)
def log_of_the_tests() -> Iterator[None]:
    """Commands configure logging for their process, which here is that of the tests."""
    root = logging.getLogger()
    before = root.handlers[:], root.level, sys.excepthook, threading.excepthook
    yield
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    sys.excepthook, threading.excepthook = before[2:]


@pytest.fixture
def life(tmp_path: Path) -> Iterator[Life]:
    tree = TWO_ROUTES | {"routes": TWO_ROUTES["routes"][:1]}
    life = Life(tmp_path / "spool", tree=tree)
    life.associate()
    yield life
    life.close()


@pytest.fixture
def shell(life: Life, tmp_path: Path) -> Shell:
    config = tmp_path / "node.toml"
    config.write_text(CONFIG.format(folder=life.folder), encoding="utf-8")
    return Shell(config)


@pytest.fixture
def busy(life: Life) -> Life:
    """Three delivered, three refused by the archive, a conflict, one broken, one other modality."""
    receive(life, range(1, 4))
    life.denoise_all()
    life.deliver_all()
    receive(life, range(4, 7))
    life.denoise_all()
    life.deliver_all("pacs")
    life.deliver_all(delivered=False)
    life.receive("1.2.4.1", version=1, data=b"PHI^MARKER")
    life.receive("1.2.4.7", data=b"PHI^MARKER" * 100)
    receive(life, [8], Modality="MR")
    life.planner.plan()
    return life

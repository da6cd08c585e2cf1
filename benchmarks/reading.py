"""What it costs that every object is compared with its hash when it is read.

    python -m benchmarks.reading

CPU milliseconds, median: as it is read by each stage, and without the comparison.
"""

from __future__ import annotations

import hashlib
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from pydicom import Dataset

from dicom_node.dicom.header import read_header
from dicom_node.network.request.dataset import StoredDataSet
from dicom_node.spool.spool import Spool
from dicom_node.spool.stored import ObjectKind, StoredObject, opened
from tests.support.factories.dicom import ct_slice, dx_image, to_bytes
from tests.support.factories.received import data_set_of, received
from workers.load import load

ROUNDS = 30
BLOCK = 256 * 1024


def median(what: Callable[[], object]) -> float:
    """CPU milliseconds of one call."""
    found = []
    for _ in range(ROUNDS):
        began = time.process_time()
        what()
        found.append(1000 * (time.process_time() - began))
    return statistics.median(found)


def drain(stored: StoredDataSet) -> None:
    """Read a data set as a sender does."""
    block = bytearray(BLOCK)
    with stored.open() as file:
        while file.readinto(block):  # type: ignore[attr-defined]
            pass


def measure(spool: Spool, name: str, image: Dataset) -> None:
    """Print one line of the table."""
    whole, uid, kind = to_bytes(image), str(image.SOPInstanceUID), str(image.SOPClassUID)
    one = received(spool, uid, data_set_of(whole), sop_class_uid=kind)
    path, made = spool.instance_path(uid), spool.result_path(uid)
    spool.commit(one.path, path)
    spool.write_atomic(made, whole)
    syntax = one.transfer_syntax_uid
    source = StoredObject(ObjectKind.INSTANCE, kind, uid, syntax, one.sha256, spool.name(path))
    sha256 = hashlib.sha256(whole).hexdigest()
    result = StoredObject(ObjectKind.RESULT, kind, uid, syntax, sha256, spool.name(made))

    def plan() -> None:
        with opened(spool, source) as file:
            read_header(file, uid)

    def work() -> None:
        with opened(spool, source) as file:
            load(file, name=uid)

    rows = (
        ("plan", lambda: read_header(path, uid), plan),
        ("load", lambda: load(path, name=uid), work),
        ("send", lambda: drain(StoredDataSet.at(made)),
         lambda: drain(StoredDataSet.at(made, result))),
    )  # fmt: skip
    for stage, without, compared in rows:
        print(f"{name:12} {stage:6} {median(without):7.2f} {median(compared):7.2f}")


def main() -> None:
    """Print the table."""
    print(f"{'object':12} {'stage':6} {'without':>7} {'with':>7}")
    pixels = np.random.default_rng(0).integers(0, 4095, (3000, 3000)).astype(np.uint16)
    with tempfile.TemporaryDirectory() as folder:
        spool = Spool(Path(folder))
        measure(spool, "CT, 0.5 MB", ct_slice(size=(512, 512)))
        measure(spool, "DX, 18 MB", dx_image(pixels))


if __name__ == "__main__":
    main()

"""What tests ask of the sending side."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from pydicom import dcmread

from dicom_node.network.request import Address, Answer, DeliveryOutcome, Outgoing, Timeouts, send
from dicom_node.network.request.dataset import StoredDataSet
from dicom_node.spool.stored import ObjectKind, StoredObject

SHORT = Timeouts.all(1.0)
"""Enough on loopback, and soon over when the peer hangs."""

PATIENT = Timeouts.all(20.0)


def address(port: int, *, timeouts: Timeouts = PATIENT, **more: object) -> Address:
    base = Address("pacs", "127.0.0.1", port, "PACS", "DENOISE", timeouts)
    return replace(base, **more)  # type: ignore[arg-type]


Store = Callable[..., list[Outgoing]]


def sent(address: Address, batch: list[Outgoing]) -> list[Answer]:
    answers: list[Answer] = []
    send(address, batch, on_answer=answers.append)
    assert [answer.delivery_id for answer in answers] == [one.delivery_id for one in batch]
    return answers


def outcomes(answers: list[Answer]) -> list[DeliveryOutcome]:
    return [answer.outcome for answer in answers]


def assert_same_values(one: Path, other: Path) -> None:
    a, b = dcmread(one), dcmread(other)
    assert np.array_equal(a.pixel_array, b.pixel_array)
    for dataset in (a, b):
        del dataset.PixelData
    assert a == b


def result_in(path: Path) -> StoredObject:
    """What the row of a result says whose file this is."""
    held = StoredDataSet.at(path)
    return StoredObject(
        ObjectKind.RESULT, held.sop_class_uid, held.sop_instance_uid, held.transfer_syntax_uid,
        hashlib.sha256(path.read_bytes()).hexdigest(), path.name,
    )  # fmt: skip

"""The images of the trial: each says in its pixels who it is, so that nothing can pass for another.

An image has an identity: its number, its patient's number, its version (other bytes under the same
UID) and the seed of the trial. The header follows from the identity, and so does every pixel. The
first two rows spell the identity in values that no model may change (PS3.3 has no say here: they
lie above the model's range, and what lies outside comes through bit for bit); the others are noise
of the image's own. What the node must make of the pixels is computed here, without its code.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydicom.uid import generate_uid

from tests.support.factories.bad import data_set
from tests.support.factories.dicom import ct_slice

CT: Final = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT: Final = "1.2.840.10008.1.2.1"
SIDE: Final = 64
INTERCEPT: Final = -1024
LOWEST, HIGHEST = -1024.0, 3071.0
"""Range of the trial's model, HU; above it stands the identity."""

_ZERO, _ONE = 4224, 4324
_IDENTITY_ROWS: Final = 2
_HEAD: Final = struct.Struct(">IIHH")

Pixels = NDArray[np.int16]


class NoIdentityError(ValueError):
    """The pixels spell no identity: they are not those of an image of the trial."""


@dataclass(frozen=True, slots=True, order=True)
class Identity:
    """Who an image is.

    Attributes
    ----------
    number
        Of the image; its SOP Instance UID follows from it.
    patient
        Number of the patient, who has one study of one series.
    version
        Other pixels under the same SOP Instance UID, from 0.
    seed
        Of the trial.
    """

    number: int
    patient: int
    version: int = 0
    seed: int = 0

    @property
    def uid(self) -> str:
        """SOP Instance UID; the same for all versions."""
        return _uid("image", self.seed, self.number)

    @property
    def series_uid(self) -> str:
        """Series Instance UID."""
        return _uid("series", self.seed, self.patient)

    @property
    def study_uid(self) -> str:
        """Study Instance UID."""
        return _uid("study", self.seed, self.patient)

    @property
    def patient_id(self) -> str:
        """Patient ID."""
        return f"CHAOS{self.patient:07d}"

    @property
    def patient_name(self) -> str:
        """Patient's Name."""
        return f"Chaos^Patient{self.patient:07d}"

    @property
    def instance_number(self) -> int:
        """Instance Number."""
        return self.number % 1_000_000

    def pixels(self) -> Pixels:
        """Stored values, ``[64, 64]``."""
        generator = np.random.default_rng((self.seed, self.number, self.version))
        stored = generator.integers(124, 2524, (SIDE, SIDE), dtype=np.int16)
        head = _HEAD.pack(self.number, self.patient, self.version, self.seed)
        spelt = np.frombuffer(head + struct.pack(">I", zlib.crc32(head)), dtype=np.uint8)
        bits = np.unpackbits(spelt).reshape(_IDENTITY_ROWS, SIDE)
        stored[:_IDENTITY_ROWS] = np.where(bits, _ONE, _ZERO)
        return stored

    def data_set(self) -> bytes:
        """The data set as it goes over the wire, Explicit VR Little Endian."""
        data = bytearray(_template())
        texts = {
            "uid": self.uid, "series": self.series_uid, "study": self.study_uid,
            "id": self.patient_id, "name": self.patient_name,
            "instance": f"{self.instance_number:06d}",
        }  # fmt: skip
        for name, (at, length) in _places().items():
            value = texts[name].encode("ascii")
            assert len(value) == length, name
            data[at : at + length] = value
        data[-2 * SIDE * SIDE :] = self.pixels().astype("<i2").tobytes()
        return bytes(data)


def identity_of(stored: NDArray[Any]) -> Identity:
    """Read the identity that pixels spell.

    Raises
    ------
    NoIdentityError
        They spell none, or one of its bits was changed.
    """
    rows = stored[:_IDENTITY_ROWS]
    if rows.shape != (_IDENTITY_ROWS, SIDE) or not np.isin(rows, (_ZERO, _ONE)).all():
        raise NoIdentityError("the rows of the identity hold other values")
    spelt = np.packbits(rows == _ONE).tobytes()
    head, check = spelt[: _HEAD.size], spelt[_HEAD.size :]
    if struct.unpack(">I", check)[0] != zlib.crc32(head):
        raise NoIdentityError("a bit of the identity is wrong")
    return Identity(*_HEAD.unpack(head))


def expected(identity: Identity) -> Pixels:
    """The stored values that the result of an image must have, each of them.

    The model of the trial takes the mean of nine neighbours, weighted 1 2 1 by 1 2 1 sixteenths.
    In HU that is exact in binary, whoever adds it up in whatever order, so there is no tolerance.
    """
    hu = identity.pixels().astype(np.float64) + INTERCEPT
    inside = (hu >= LOWEST) & (hu <= HIGHEST)
    framed = np.pad(np.clip(hu, LOWEST, HIGHEST), 1, constant_values=LOWEST)
    mean = np.zeros_like(hu)
    for row, first in enumerate((1, 2, 1)):
        for column, second in enumerate((1, 2, 1)):
            mean += first * second / 16 * framed[row : row + SIDE, column : column + SIDE]
    return np.asarray(np.where(inside, np.rint(mean), hu) - INTERCEPT, dtype=np.int16)


@cache
def _uid(kind: str, seed: int, number: int) -> str:
    return str(generate_uid(entropy_srcs=["chaos", kind, str(seed), str(number)]))


@cache
def _template() -> bytes:
    """An encoded data set whose values are exchanged in place: building each costs too much."""
    marks = _marks()
    dataset = ct_slice(
        stored=np.zeros((SIDE, SIDE), dtype=np.int16), intercept=INTERCEPT,
        SOPInstanceUID=marks["uid"], SeriesInstanceUID=marks["series"],
        StudyInstanceUID=marks["study"], PatientID=marks["id"], PatientName=marks["name"],
        InstanceNumber=marks["instance"], FrameOfReferenceUID=_uid("frame", 0, 0),
    )  # fmt: skip
    return data_set(dataset)


def _marks() -> dict[str, str]:
    nobody = Identity(999_999, 8_888_888, seed=65_535)
    return {
        "uid": nobody.uid, "series": nobody.series_uid, "study": nobody.study_uid,
        "id": nobody.patient_id, "name": nobody.patient_name, "instance": "999999",
    }  # fmt: skip


@cache
def _places() -> dict[str, tuple[int, int]]:
    data = _template()
    found = {}
    for name, mark in _marks().items():
        value = mark.encode("ascii")
        assert data.count(value) == 1, name
        found[name] = data.index(value), len(value)
    return found

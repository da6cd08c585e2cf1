"""What a result is to say about itself."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, get_args

from dicom_node.dicom.uids import is_valid_uid
from model_store.ref import ModelRef

Form = Literal["secondary-capture", "secondary-capture-multiframe", "derived"]
"""Result forms: Secondary Capture (multi-frame for a multi-frame source), Secondary Capture that
is always multi-frame, or an object of the source's own SOP class."""

_LARGEST_IS = 2**31 - 1


@dataclass(frozen=True, slots=True)
class ResultSpec:
    """Everything that a result needs besides its source and its pixels.

    Parameters
    ----------
    form : {"secondary-capture", "secondary-capture-multiframe", "derived"}
        Result form.
    model : ModelRef
        The model version.
    engine : str
        The engine in words: ``"OpenVINO 2026.4 f32 CPU"``.
    strength : float
        ``a`` of ``x + a*(G(x)-x)``.
    route : str
        Name of the route.
    sop_instance_uid, series_instance_uid : str
        Derived by `dicom_node.dicom.uids`.
    series_number : int
        Series Number (0020,0011).
    series_description : str
        Series Description (0008,103E), at most 64 characters are kept.
    derivation_description : str
        Derivation Description (0008,2111), at most 1024 characters are kept.
    at : datetime
        When the result was made; aware. The only time in the file that is not the source's.
    device_serial_number : str
        Identifies the installation of the node.
    institution_name : str
        Where the node stands.
    software_version : str
        Version of the node.

    Raises
    ------
    ValueError
        If a UID, the form, the time or the number is not as described.
    """

    form: Form
    model: ModelRef
    engine: str
    strength: float
    route: str
    sop_instance_uid: str
    series_instance_uid: str
    series_number: int
    series_description: str
    derivation_description: str
    at: datetime
    device_serial_number: str = ""
    institution_name: str = ""
    software_version: str = "0"

    def __post_init__(self) -> None:
        if self.form not in get_args(Form):
            raise ValueError(f"result form {self.form!r} is not one of {get_args(Form)}")
        for uid in (self.sop_instance_uid, self.series_instance_uid):
            if not is_valid_uid(uid):
                raise ValueError(f"{uid!r} is not a UID")
        if self.at.tzinfo is None:
            raise ValueError("the time of a result must have a time zone")
        if not 0 <= self.series_number <= _LARGEST_IS:
            raise ValueError(f"series number {self.series_number} is not an integer string")

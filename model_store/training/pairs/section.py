"""``[data]`` of a recipe that trains on pairs: where they are, who is in them, what is refused."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, model_validator

from model_store.strict import Strict

Target = Literal["clean", "noisy"]


class PairsData(Strict):
    """Pairs of images that differ in their noise: two folders, or a table of files.

    All paths are below the folder of ``--data``; those in a table are relative to the table.

    Parameters
    ----------
    noisy, partner : str
        Folders of the noisy images and of their partners.
    noisy_pattern, partner_pattern : str
        Which files below them (one folder may hold both sides).
    match : {"name", "geometry"}
        Partners have the same path below their folders, less suffixes, or what the ``*`` of the
        patterns stand for is the same; or are DICOM images of the same place in the same patient.
    frame_of_reference : bool
        Whether partners by geometry must have the same Frame of Reference UID, where both have
        one. False for sides that were reconstructed or made anonymous apart.
    table : str
        A CSV file with columns ``noisy`` and ``partner``, and if wanted ``patient``, ``split``
        (training, validation, test) and ``slice`` (in both files, from 0). It takes the place of
        the folders, also of those of a recipe that is extended.
    target : {"clean", "noisy"}
        Whether the partners are clean (or at least far less noisy), or as noisy as the others with
        noise of their own: then each of a pair is trained on the other (Noise2Noise).
    patient : {"dicom", "folder", "file", "column"}
        Who is in a pair: Patient ID; the first folder below `noisy`; the file's name; the table's
        column. With `patient_pattern`, a regular expression, its first group of that folder's or
        file's name.
    validation, test : float
        Shares of the patients for the learning rate's schedule, and for measuring. By a hash of
        patient and `split_seed`: a patient that joins moves nobody into the test.
    largest_shift : float
        Pairs shifted against each other by more pixels are refused; if more than the share
        `most_refused` of all are, the run does not begin.
    slope, offset : float
        ``value = slope * stored + offset`` for files that are not DICOM: HU, or 0..1.
    dataset : str
        Data set of HDF5 files, if they have several.
    """

    kind: Literal["pairs"]
    noisy: str | None = None
    partner: str | None = None
    noisy_pattern: str = Field(default="*", min_length=1)
    partner_pattern: str = Field(default="*", min_length=1)
    match: Literal["name", "geometry"] = "name"
    frame_of_reference: bool = True
    table: str | None = None
    target: Target = "clean"
    patient: Literal["dicom", "folder", "file", "column"] = "dicom"
    patient_pattern: str | None = None
    validation: float = Field(default=0.1, ge=0, lt=1)
    test: float = Field(default=0.2, ge=0, le=1)
    split_seed: int = Field(default=0, ge=0)
    largest_shift: float = Field(default=1.0, gt=0)
    most_refused: float = Field(default=0.2, ge=0, le=1)
    slope: float | None = None
    offset: float | None = None
    dataset: str | None = None

    @model_validator(mode="after")
    def _consistent(self) -> PairsData:
        sides = (self.noisy, self.noisy_pattern), (self.partner, self.partner_pattern)
        if self.table is None and None in (self.noisy, self.partner):
            raise ValueError("give both folders, noisy and partner, or a table")
        if self.table is None and sides[0] == sides[1]:
            raise ValueError("noisy and partner are the same files")
        if self.patient == "column" and self.table is None:
            raise ValueError('patient = "column" is a column of a table')
        if self.table is not None and self.patient == "folder":
            raise ValueError('with a table patient is "column", "dicom" or "file"')
        if self.validation + self.test > 1:
            raise ValueError("validation and test are shares of the patients: together at most 1")
        if self.slope == 0:
            raise ValueError("slope is 0: every value would be the same")
        self._check_pattern()
        return self

    def _check_pattern(self) -> None:
        if self.patient_pattern is None:
            return
        if self.patient not in {"folder", "file"}:
            raise ValueError('patient_pattern takes patient = "folder" or "file"')
        try:
            groups = re.compile(self.patient_pattern).groups
        except re.error as error:
            raise ValueError(f"patient_pattern: {error}") from error
        if not groups:
            raise ValueError("patient_pattern needs a group in brackets: the patient")

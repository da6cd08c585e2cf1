"""Series Number and Series Description of results, from a route's templates."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from pydicom.dataset import Dataset

from dicom_node.dicom.header import text_of
from model_store.ref import ModelRef

_LO: Final = 64
_IS: Final = 2**31 - 1
_DEFAULT_NUMBER: Final = 9000
_NUMBER: Final = re.compile(r"-?[0-9]{1,12}")
"""An integer string (PS3.5 6.2)."""


def series_labels(
    dataset: Dataset, plan: Mapping[str, Any], route: str, model: ModelRef
) -> tuple[str, int]:
    """Render the templates of a batch's plan.

    Returns
    -------
    description : str
        At most 64 characters (LO, PS3.5 6.2), without backslash or control characters.
    number : int
        0 to 2**31 - 1 (IS); 9000 if the template gives no such number.
    """
    number_text = text_of(dataset, "SeriesNumber")
    number = int(number_text) if _NUMBER.fullmatch(number_text) else 0
    values = {
        "SeriesDescription": text_of(dataset, "SeriesDescription"),
        "SeriesNumber": number,
        "Modality": text_of(dataset, "Modality"),
        "model": model.name,
        "version": model.version,
        "route": route,
        "strength": plan["strength"],
    }
    description = str(plan["series_description"]).format(**values)
    clean = "".join(c if c.isprintable() and c != "\\" else " " for c in description)
    rendered = str(plan["series_number"]).format(**values)
    valid = _NUMBER.fullmatch(rendered) and 0 <= int(rendered) <= _IS
    return " ".join(clean.split())[:_LO].strip(), int(rendered) if valid else _DEFAULT_NUMBER

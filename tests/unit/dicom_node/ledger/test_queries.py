"""What administrators ask is answered alike by every database."""

from __future__ import annotations

from dicom_node.ledger import queries
from tests.support.ledgers import Life


def listed(life: Life, state: str | None = None) -> dict[str, int]:
    with life.ledger.read() as session:
        rows = queries.studies(session, limit=9, state=state)
    return {row["study_uid"]: row["instances"] for row in rows}


def test_a_study_is_listed_by_what_is_known_of_it(life: Life) -> None:
    life.associate()
    life.receive_series(2)
    life.denoise_all()
    life.receive("1.2.9.1", data=b"no DICOM" * 50)
    life.planner.plan()
    life.receive_series(3, series="1.2.7")
    assert listed(life) == {"1.2.3": 2, "(unreadable)": 1, "(not yet planned)": 3}
    assert listed(life, "denoised") == {"1.2.3": 2}
    assert listed(life, "failed") == {"(unreadable)": 1}

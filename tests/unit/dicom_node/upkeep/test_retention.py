"""What retention removes from the spool, and what it never may."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select, update
from structlog.testing import capture_logs

from dicom_node.ledger import recall
from dicom_node.ledger.tables import AuditRow, InstanceRow, ResultRow, WorkItemRow
from dicom_node.ledger.unit_of_work import UnitOfWork
from dicom_node.spool.spool import SHARDS, SpoolFile
from tests.support.clock import age
from tests.support.factories.dicom import ct_slice, to_bytes
from tests.support.factories.received import received
from tests.support.ledgers import Life, ct_header

HOUR = 3600.0
TWO_DAYS = 48 * HOUR


def file_of(life: Life, table: Any = InstanceRow) -> Path:
    ((name,),) = life.rows(select(table.path).order_by(table.id).limit(1))
    return life.spool.root / name


def sweep_all(life: Life) -> int:
    return sum(life.retention.sweep_orphans(shard) for shard in range(SHARDS))


@dataclass(frozen=True)
class Case:
    """An instance with a result for each work item, and whether retention keeps their bytes.

    Ages in hours: `received` and `file` ago; each item a state and how long ago it ended.
    Bytes are kept for 72 hours, conflicts for 720.
    """

    what: str
    kept: bool
    items: tuple[tuple[str, float | None], ...] = field(default=())
    received: float = 2000
    file: float = 2000
    state: str = "planned"


KEPT, GONE = True, False
CASES = [
    Case("delivered for longer than bytes are kept", GONE, (("delivered", 72.1),)),
    Case("delivered for just as long", GONE, (("delivered", 72.0),), received=72.0),
    Case("delivered for less", KEPT, (("delivered", 71.9),)),
    Case("passed for longer", GONE, (("passed", 72.1),)),
    Case("passed for less", KEPT, (("passed", 71.9),)),
    Case("received for less, whatever its items say", KEPT, (("delivered", 72.1),), received=71.9),
    Case("received for longer", GONE, (("delivered", 72.1),), received=72.1),
    Case("failed: a person has yet to look", KEPT, (("failed", 1900),)),
    Case("one item failed, the other delivered", KEPT, (("failed", 1900), ("delivered", 1900))),
    Case("an item that is planned", KEPT, (("planned", None),)),
    Case("an item that is at work", KEPT, (("running", None),)),
    Case("an item that is to be delivered, or delivered again", KEPT, (("denoised", None),)),
    Case("late work beside work that ended", KEPT, (("delivered", 1900), ("planned", None))),
    Case("the last of two items ended lately", KEPT, (("delivered", 1900), ("passed", 71.9))),
    Case("both items ended long ago", GONE, (("delivered", 1900), ("passed", 72.1))),
    Case("not planned yet", KEPT, state="received"),
    Case("to be planned again by a person", KEPT, (("delivered", 1900),), state="received"),
    Case("planned, and no item accounts for it", KEPT),
    Case("a conflict, for less than conflicts are kept", KEPT, (("failed", 700),), received=719.9,
         state="conflict"),
    Case("a conflict, for just as long", GONE, (("failed", 720),), received=720.0,
         state="conflict"),
    Case("a conflict, for longer", GONE, (("failed", 720),), received=720.1, state="conflict"),
    Case("received again just now", KEPT, (("delivered", 1900),), file=0.9),
    Case("received again a while ago", GONE, (("delivered", 1900),), file=1.1),
    Case("a conflict that was received again just now", KEPT, (("failed", 1900),), file=0.9,
         state="conflict"),
]  # fmt: skip


def put(life: Life, case: Case) -> list[Path]:
    """Bring the ledger and the spool to where the case is; returns the files."""
    life.receive("1.2.4.1")
    at = life.clock()
    with life.ledger.write() as unit:
        (row,) = unit.session.execute(select(InstanceRow)).scalars()
        row.state = case.state
        row.received_at = at - timedelta(hours=case.received)
        for number, (state, ended) in enumerate(case.items):
            unit.session.execute(
                insert(WorkItemRow).values(
                    instance_id=row.id, route=f"r{number}", state=state, planned_at=at,
                    ended_at=None if ended is None else at - timedelta(hours=ended),
                )
            )  # fmt: skip
        items = unit.session.execute(select(WorkItemRow.id)).scalars().all()
        for item in items:
            unit.session.execute(
                insert(ResultRow).values(
                    work_item_id=item, sop_instance_uid=f"1.2.9.{item}", series_uid="1.2.9",
                    sop_class_uid="1.2", transfer_syntax_uid="1.2", path=None, sha256="", size=1,
                    model_name="m", model_version="1", model_sha256="0", engine={}, settings={},
                    seconds=1.0, made_at=at,
                )
            )  # fmt: skip
    life.write_results()
    files = [life.spool.root / name for table in (InstanceRow, ResultRow)
             for (name,) in life.rows(select(table.path))]  # fmt: skip
    assert len(files) == 1 + len(case.items)
    age(*files, seconds=case.file * HOUR)
    return files


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.what)
def test_what_is_kept_and_what_is_forgotten(life: Life, case: Case) -> None:
    files = put(life, case)
    assert life.retention.forget() == (0 if case.kept else 1)
    assert [path.exists() for path in files] == [case.kept] * len(files)
    named = [name for table in (InstanceRow, ResultRow) for (name,) in life.rows(
        select(table.path))]  # fmt: skip
    assert [name is not None for name in named] == [case.kept] * len(files)
    assert life.retention.forget() == 0


def test_what_was_forgotten_is_left_when_a_person_retries_it(life: Life) -> None:
    put(life, Case("", GONE, (("delivered", 100), ("passed", 100))))
    assert life.retention.forget() == 1
    ids = [row.id for row in life.rows(select(WorkItemRow.id))]
    with life.ledger.write() as unit:
        assert recall.retry(unit, ids).left == 2
    assert life.retention.forget() == 0
    assert {row.state for row in life.rows(select(WorkItemRow.state))} == {"delivered", "passed"}


def test_what_a_crash_left_in_reception_goes_and_what_is_being_received_stays(life: Life) -> None:
    left, receiving = life.spool.incoming(), life.spool.incoming()
    age(left.path, seconds=24.1 * HOUR)
    age(receiving.path, seconds=23.9 * HOUR)
    life.retention.forget()
    assert not left.path.exists()
    assert receiving.path.exists()
    left.discard()
    receiving.discard()


def test_forgetting_is_recorded(life: Life) -> None:
    put(life, Case("", GONE, (("delivered", 100),)))
    life.retention.forget()
    events = life.rows(
        select(AuditRow.event, AuditRow.instance_id).where(AuditRow.event.like("instance:upkeep:%"))
    )
    ((row_id,),) = life.rows(select(InstanceRow.id))
    assert [tuple(row) for row in events] == [("instance:upkeep:expired", row_id)]


def test_a_resend_between_the_look_and_the_ledger_keeps_its_file(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Retention has seen that the work ended; before it writes so, the row has another file."""
    (old,) = put(life, Case("", GONE, (("passed", 100),)))[:1]
    write = life.ledger.write

    @contextmanager
    def after_a_resend() -> Iterator[UnitOfWork]:
        monkeypatch.setattr(life.ledger, "write", write)
        old.write_bytes(b"came wrong")
        life.receive("1.2.4.1")
        with write() as unit:
            yield unit

    monkeypatch.setattr(life.ledger, "write", after_a_resend)
    assert life.retention.forget() == 0
    assert file_of(life) != old
    assert file_of(life).exists()
    assert old.read_bytes() == b"came wrong"


def test_a_resend_between_the_ledger_and_the_removal_keeps_its_file(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Retention has committed that the bytes are gone; before it removes them they come again."""
    (old,) = put(life, Case("", GONE, (("passed", 100),)))[:1]
    write = life.ledger.write

    @contextmanager
    def then_receive() -> Iterator[UnitOfWork]:
        with write() as unit:
            yield unit
        monkeypatch.setattr(life.ledger, "write", write)
        life.receive("1.2.4.1")

    monkeypatch.setattr(life.ledger, "write", then_receive)
    assert life.retention.forget() == 1
    assert not old.exists()
    assert file_of(life).exists()
    assert life.retention.forget() == 0


def test_a_file_that_cannot_be_removed_leaves_the_others_forgotten(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = put(life, Case("", GONE, (("delivered", 100), ("delivered", 100))))
    unlink = Path.unlink

    def failing(path: Path, **how: Any) -> None:
        if path == files[0]:
            raise OSError(5, "input/output error")
        unlink(path, **how)

    monkeypatch.setattr(Path, "unlink", failing)
    assert life.retention.forget() == 1
    assert [path.exists() for path in files] == [True, False, False]
    monkeypatch.setattr(Path, "unlink", unlink)
    assert sweep_all(life) == 1
    assert not files[0].exists()


def orphan(life: Life, uid: str, data: bytes | None = None, *, seconds: float = TWO_DAYS) -> Path:
    """A file of an instance that no row names, as a killed intake leaves one."""
    one = received(life.spool, uid, data or ct_header("1.2.4", uid))
    path = life.spool.instance_path(uid)
    life.spool.commit(one.path, path)
    age(path, seconds=seconds)
    return path


def result_orphan(life: Life, uid: str, source: str, *, seconds: float = TWO_DAYS) -> Path:
    """A file of a result that no row names, as a killed worker leaves one."""
    image = ct_slice(size=(4, 4), SOPInstanceUID=uid)
    image.SourceImageSequence = [ct_slice(size=(4, 4)).__class__()]
    image.SourceImageSequence[0].ReferencedSOPClassUID = image.SOPClassUID
    image.SourceImageSequence[0].ReferencedSOPInstanceUID = source
    path = life.spool.result_path(uid)
    life.spool.write_atomic(path, to_bytes(image))
    age(path, seconds=seconds)
    return path


def test_a_copy_of_what_the_ledger_has_goes(life: Life) -> None:
    life.receive("1.2.4.1", data=b"the object")
    copies = [orphan(life, "1.2.4.1", b"the object") for _ in range(3)]
    assert sweep_all(life) == 3
    assert not any(path.exists() for path in copies)
    assert file_of(life).exists()
    assert sweep_all(life) == 0


def test_what_may_be_the_only_copy_stays_and_is_said_once(life: Life) -> None:
    life.receive("1.2.4.1", data=b"the object")
    life.receive("1.2.4.2", data=b"another")
    file_of(life).write_bytes(b"came wrong")
    left = [
        orphan(life, "1.2.4.1", b"the object"),  # the row's own file came wrong
        orphan(life, "1.2.4.2", b"other bytes"),  # no row has these bytes
        orphan(life, "1.2.4.3", b"unknown"),  # no row has this UID
    ]
    broken = life.spool.instance_path("1.2.4.2")
    life.spool.write_atomic(broken, b"not DICOM")
    age(broken)
    left.append(broken)
    with capture_logs() as logs:
        assert sweep_all(life) == 0
        assert sweep_all(life) == 0
    assert all(path.exists() for path in left)
    assert sorted(entry["file"] for entry in logs if entry["event"] == "file.unknown") == sorted(
        map(life.spool.name, left)
    )


def test_what_the_ledger_does_not_have_stays_whatever_else_it_has(life: Life) -> None:
    life.receive("1.2.4.1", data=b"the object")
    left = [
        orphan(life, "1.2.4.1", b"other bytes"),
        orphan(life, "1.2.4.2", b"the object"),
        result_orphan(life, "1.2.9.1", "1.2.4.2"),
    ]
    assert sweep_all(life) == 0
    assert all(path.exists() for path in left)


def test_the_only_copy_goes_once_the_object_was_received_again(life: Life) -> None:
    path = orphan(life, "1.2.4.1", b"the object")
    assert sweep_all(life) == 0
    life.receive("1.2.4.1", data=b"the object")
    assert sweep_all(life) == 1
    assert not path.exists()
    assert file_of(life).exists()


@pytest.mark.parametrize(("state", "goes"), [("delivered", True), ("failed", False)])
def test_a_copy_of_what_was_forgotten_goes_unless_its_work_has_not_ended(
    life: Life, state: str, goes: bool
) -> None:
    put(life, Case("", KEPT, ((state, 1.0),)))
    whole = file_of(life).read_bytes()
    file_of(life).unlink()
    with life.ledger.write() as unit:
        unit.session.execute(update(InstanceRow).values(path=None))
    path = life.spool.instance_path("1.2.4.1")
    life.spool.write_atomic(path, whole)
    age(path)
    assert sweep_all(life) == int(goes)
    assert path.exists() is not goes


def test_a_result_that_its_source_can_be_made_into_again_goes(life: Life) -> None:
    life.receive("1.2.4.1")
    path = result_orphan(life, "1.2.9.1", "1.2.4.1")
    assert sweep_all(life) == 1
    assert not path.exists()


def test_a_result_whose_source_is_gone_or_wrong_or_unknown_stays(life: Life) -> None:
    life.receive("1.2.4.1")
    life.receive("1.2.4.2")
    first, second = (life.spool.root / name for (name,) in life.rows(
        select(InstanceRow.path).order_by(InstanceRow.id)))  # fmt: skip
    first.write_bytes(b"came wrong")
    second.unlink()
    left = [result_orphan(life, f"1.2.9.{n}", f"1.2.4.{n}") for n in (1, 2, 3)]
    assert sweep_all(life) == 0
    assert all(path.exists() for path in left)


def test_a_late_workers_copy_of_a_result_goes_while_the_one_that_counts_is_right(
    life: Life,
) -> None:
    put(life, Case("", KEPT, (("denoised", None),)))
    ((uid,),) = life.rows(select(ResultRow.sop_instance_uid))
    late = result_orphan(life, uid, "unknown")
    named = file_of(life, ResultRow)
    whole = named.read_bytes()
    named.write_bytes(whole[:-1] + b"!")
    assert sweep_all(life) == 0
    named.write_bytes(whole)
    assert sweep_all(life) == 1
    assert not late.exists()
    assert named.exists()


def test_every_file_that_a_row_names_stays(life: Life) -> None:
    life.receive_series(5)
    life.receive("1.2.4.1", version=2)
    life.receive("no uid at all/../x", data=ct_header("1.2.4", "1.2.4.9"))
    life.denoise_all()
    life.write_results()
    named = [
        life.spool.root / path
        for table in (InstanceRow, ResultRow)
        for (path,) in life.rows(select(table.path))
    ]
    assert len(named) == 7 + 10
    age(*named)
    assert sweep_all(life) == 0
    assert all(path.exists() for path in named)


def test_a_file_whose_row_may_be_about_to_be_written_stays(life: Life) -> None:
    life.receive("1.2.4.1", data=b"the object")
    fresh = orphan(life, "1.2.4.1", b"the object", seconds=23.9 * HOUR)
    assert sweep_all(life) == 0
    assert fresh.exists()
    age(fresh, seconds=24.1 * HOUR)
    assert sweep_all(life) == 1


def test_each_round_looks_at_another_folder(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[int] = []
    files = life.spool.files

    def seen(shard: int) -> list[SpoolFile]:
        looked.append(shard)
        return files(shard)

    monkeypatch.setattr(life.spool, "files", seen)
    for _ in range(SHARDS):
        life.retention.forget()
    assert sorted(looked) == list(range(SHARDS))

"""However aliases are moved, their history says what they stand for."""

from __future__ import annotations

import itertools
from dataclasses import replace
from functools import cache

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dicom_node.errors import AliasMoved
from dicom_node.ledger import alias_moves
from dicom_node.ledger.unit_of_work import Ledger
from model_store.ref import ModelName
from model_store.registry.records import Move, earlier
from tests.support.ledgers import fresh_url, open_ledger, temporary_folder

VERSIONS = [None, *(ModelName("toy-ct", f"1.{minor}.0") for minor in range(4))]
TAGS = ("production", "candidate")

# What an administrator does: to which alias, to what, and what they believe that it stands for;
# True: they have looked.
steps = st.lists(
    st.tuples(
        st.sampled_from(TAGS),
        st.sampled_from([*VERSIONS, "back"]),
        st.sampled_from([True, True, *VERSIONS]),
    ),
    max_size=12,
)


@cache
def ledger() -> Ledger:
    return open_ledger(fresh_url(temporary_folder()))


numbers = itertools.count()


def move(alias: ModelName, target: ModelName | None, seen: ModelName | None, action: str) -> Move:
    with ledger().write() as unit:
        return alias_moves.move(
            unit, alias, target, expected=seen, action=action,  # type: ignore[arg-type]
            who="anna@pacs1", why="a reason",
        )  # fmt: skip


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(steps=steps)
def test_the_history_replays_to_what_the_aliases_stand_for(
    steps: list[tuple[str, ModelName | str | None, ModelName | bool | None]],
) -> None:
    label = f"label-{next(numbers)}"
    expected: dict[ModelName, ModelName | None] = {}
    piles: dict[ModelName, tuple[ModelName, ...]] = {}
    for tag, wanted, seen in steps:
        alias = ModelName(label, tag)
        back = piles.get(alias, ())
        if wanted == "back" and not back:
            continue
        target = back[0] if wanted == "back" else wanted
        assert not isinstance(target, str)
        now = expected.get(alias)
        believed = now if seen is True else seen
        assert not isinstance(believed, bool)
        action = "rollback" if wanted == "back" else "promote" if target else "remove"
        try:
            made = move(alias, target, believed, action)
        except AliasMoved:
            assert alias in expected
            assert believed != now
            continue
        assert alias not in expected or believed == now
        assert made.previous == believed
        expected[alias] = target
        with ledger().read() as session:
            piles[alias] = earlier(alias_moves.history(session, alias))
        if action == "promote" and believed not in (None, target):
            assert piles[alias][0] == believed
        assert target not in piles[alias]
    with ledger().read() as session:
        moves = [each for each in alias_moves.history(session) if each.alias.name == label]
        now_ = {a: m.target for a, m in alias_moves.current(session).items() if a.name == label}
    assert {each.alias: each.target for each in moves} == now_ == expected
    for alias in expected:
        mine = [each for each in moves if each.alias == alias]
        assert [each.serial for each in mine] == list(range(1, len(mine) + 1))
        assert all(later.previous == one.target for one, later in itertools.pairwise(mine))
        assert [Move.of_entry(each.entry()) for each in mine] == mine
        assert rollbacks(mine) <= len(mine)


def rollbacks(moves: list[Move]) -> int:
    """How often an alias can be rolled back: each goes further down, none forth again."""
    done = list(moves)
    while (back := earlier(done)) and len(done) <= 3 * len(moves):
        last = done[-1]
        done.append(
            replace(last, serial=last.serial + 1, previous=last.target, target=back[0],
                    action="rollback")
        )  # fmt: skip
    return len(done) - len(moves)

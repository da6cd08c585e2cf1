"""Going through the steps from a recipe to a packed version, and stopping at a missed limit."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Protocol

from model_store.making.state import Done, State
from model_store.making.steps import STEPS, Teller, Wanted, going_on
from model_store.store import ModelVersion
from model_store.trust.signature import SIGNATURE

Heard = Callable[[str, Done, bool], None]
"""Told of each step what came of it, and whether that was before."""


class Begun(Protocol):
    """Told which step begins."""

    def __call__(self, step: str) -> None:
        """The step of that name begins."""


def make(
    wanted: Wanted,
    *,
    start: str | None = None,
    accept: Collection[str] = (),
    begun: Begun,
    told: Teller,
    heard: Heard,
) -> ModelVersion:
    """Make a version of a recipe: what is done already is not done again.

    Parameters
    ----------
    wanted : Wanted
        What of what, and where.
    start : str, optional
        Step from which on to do everything again.
    accept : collection of str
        Steps whose limits may be missed.
    begun, told, heard : callable
        Told which step begins, how far it is, and what came of it.

    Returns
    -------
    ModelVersion
        What was packed.

    Raises
    ------
    LimitMissedError
        If a step missed its limit; the message says how to go on.
    ModelStoreError
        If a step failed.
    """
    state = State.open(wanted.out, wanted.recipe)
    names = list(STEPS)
    signed = (wanted.version / SIGNATURE).exists()
    if start is not None:
        again = names[names.index(start) :]
        state.forget([name for name in again if not (name == "sign" and signed)])
    elif wanted.key is not None and not signed:
        state.forget(["sign", "pack"])  # it was accepted unsigned before
        (wanted.out / f"{wanted.recipe.name}-{wanted.recipe.version}.zip").unlink(missing_ok=True)
    for name, step in STEPS.items():
        done = state.done.get(name)
        before = done is not None
        if done is None:
            begun(name)
            done = step(wanted, told)
            state.keep(name, done)
        heard(name, done, before)
        if done.missed and name not in accept:
            raise going_on(name, done.missed, wanted.out)
    return ModelVersion.open(wanted.version)

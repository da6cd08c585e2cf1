"""Objects that meet each other, and objects that are meant to break what reads them."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

from tests.chaos.fault import Fault, Scene
from tests.chaos.flow import SUCCESS, Image, Sendable, store
from tests.chaos.images import Identity
from tests.support.factories.bad import Bad, bad, bombs, damaged, image, with_value

_ROUNDS: Final = (10, 100)
_BARRIER_SECONDS: Final = 10.0
_IMAGE_TYPE: Final = (0x0008, 0x0008)


class SameInstant(Fault):
    """Two associations, at two intakes where there are two, send one UID at the same instant."""

    seconds = 0.0

    def __init__(self, *, same_bytes: bool, quick: bool = False) -> None:
        bytes_ = "same bytes" if same_bytes else "other bytes"
        self.name = f"one UID at once: {bytes_}"
        self.says = f"two associations store one SOP Instance UID at the same instant, {bytes_}"
        self.quick = quick
        self._same = same_bytes

    def inject(self, scene: Scene) -> None:
        rounds = min(max(scene.size // 4, _ROUNDS[0]), _ROUNDS[1])
        first, second = scene.form.ports[0], scene.form.ports[-1]
        with ThreadPoolExecutor(2) as pool:
            for identity in scene.images(rounds):
                other = identity if self._same else replace(identity, version=1)
                barrier = threading.Barrier(2)
                jobs = [
                    pool.submit(self._send, scene, port, one, barrier)
                    for port, one in ((first, identity), (second, other))
                ]
                for job in jobs:
                    job.result()

    @staticmethod
    def _send(scene: Scene, port: int, identity: Identity, barrier: threading.Barrier) -> None:
        def meet() -> None:
            with suppress(threading.BrokenBarrierError):
                barrier.wait(_BARRIER_SECONDS)

        scene.promises.sending(identity)
        statuses: dict[str, int] = {}
        while not statuses:  # an association that was not accepted
            statuses = store(port, [Image(identity)], before=meet)
        for status in statuses.values():
            scene.promises.answered(identity, status)


@dataclass(frozen=True, slots=True)
class _Foreign:
    """An object that is not one of the trial's images."""

    bad: Bad

    @property
    def uid(self) -> str:
        return self.bad.instance

    @property
    def sop_class(self) -> str:
        return self.bad.sop_class

    @property
    def syntax(self) -> str:
        return self.bad.syntax

    def data_set(self) -> bytes:
        return self.bad.data


def image_types() -> Iterable[Bad]:
    """Image Type in representations that nobody expects of it."""
    for vr, value in (
        (b"US", b"\x01\x00\x02\x00"), (b"PN", b"A^B\\C^D "), (b"FD", bytes(8)),
        (b"ZZ", b"ORIGINAL"), (b"UN", b"\xff\xfe\x00\x01"), (b"AT", bytes(4)),
        (b"DS", b"1\\2 "), (b"SS", b"\xff\xff"), (b"IS", b"1 "),
    ):  # fmt: skip
        one = image()
        yield bad(f"Image Type of {vr.decode()}", one, "failed|passed|delivered",
                  data=with_value(one, _IMAGE_TYPE, vr, value))  # fmt: skip


class Poison(Fault):
    """Objects that break what reads them harm only themselves."""

    name = "poison"
    seconds = 0.0

    def __init__(self, *, decoder: bool) -> None:
        self.name = "decoder bombs" if decoder else "poison"
        self.says = (
            "objects that grow when they are decoded, and compressed ones that are garbage"
            if decoder
            else "Image Type in unexpected representations, truncated and damaged objects"
        )
        self._decoder = decoder
        self._taken: list[str] = []

    def inject(self, scene: Scene) -> None:
        sorts = bombs() if self._decoder else (*image_types(), *damaged())
        objects = [
            _Foreign(one)
            for one in sorts
            if "delivered" not in one.state or "Image Type" in one.name
        ]
        scene.judge.foreign |= {one.uid for one in objects}
        for one in objects:
            self._send(scene, [one])
        scene.notes.append(f"{len(self._taken)} of {len(objects)} taken")

    def _send(self, scene: Scene, objects: Sequence[Sendable]) -> None:
        for _ in range(20):
            statuses = store(scene.form.ports[0], objects)
            self._taken += [uid for uid, status in statuses.items() if status == SUCCESS]
            if statuses:
                return
            scene.waited(lambda: False, 0.5)

    def check(self, scene: Scene) -> Iterable[str]:
        books = scene.form.books()
        try:
            ended = {one.uid for one in books.ended()}
            known = {row.uid for row in books.instances(self._taken)}
        finally:
            books.close()
        for uid in self._taken:
            if uid not in known:
                yield f"{uid} was taken and the ledger does not know it"
            elif uid not in ended and uid not in scene.judge.foreign_delivered:
                yield f"{uid} has not ended"

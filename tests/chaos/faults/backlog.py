"""A backlog: much due work, and a new study behind it."""

from __future__ import annotations

import time

import redis

from tests.chaos.fault import Fault, Scene
from tests.chaos.forms import Cluster, OneMachine

_NEW_STUDY = 6
_LONGEST_SECONDS = 900.0


class Backlog(Fault):
    """Every image of a wave is a batch of its own and waits; then a new study comes."""

    name = "backlog"
    says = "many due batches of one image each, then a new study of six"
    seconds = 0.0
    weight = 5.0
    flowing = 0.05

    def inject(self, scene: Scene) -> None:
        size = int(scene.size * (1 - self.flowing))
        with scene.form.still("infer"):
            for _ in range(size):
                scene.flow.send(scene.images(1))
            books = scene.form.books()
            try:
                scene.wait(lambda: not scene.flow.busy, 60 + size, "the backlog")
                scene.wait(lambda: books.due_batches() >= size * 0.9, 60 + size, "the backlog")
                scene.notes.append(f"{books.due_batches()} batches due")
            finally:
                books.close()
            scene.notes.append(f"{_messages(scene)} messages waited")
        began = time.monotonic()
        study = scene.images(_NEW_STUDY)
        scene.flow.send(study)
        before = len(scene.judge.outstanding())
        if scene.waited(lambda: scene.judge.has(study), _LONGEST_SECONDS):
            scene.notes.append(
                f"a new study took {time.monotonic() - began:.1f} s behind {before} images"
            )


def _messages(scene: Scene) -> int:
    """Messages that wait for infer workers."""
    if isinstance(scene.form, OneMachine):
        return len(list(scene.form.messages.glob("*.infer.msg")))
    assert isinstance(scene.form, Cluster)
    return int(redis.Redis.from_url(scene.form.redis.url, socket_timeout=5).llen("infer"))

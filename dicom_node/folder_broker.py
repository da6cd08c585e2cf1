"""The embedded broker: a kombu transport that keeps each message as a file in a folder.

It is kombu's own filesystem transport with other files. That one opens a message under its final
name before it writes it, so that a reader may take an empty file, which ends a Celery worker (seen
with kombu 5.7: 18 of 3,000 messages when polled without pause); and it moves what it takes through
the folder for temporary files, which may be on another disk.

Here a message appears whole or not at all, and taking it is removing it: of several readers, the
one whose removal succeeds has it. A message that a power cut left unreadable is dropped; like every
lost message it loses nothing, because the ledger knows what is due and upkeep rings again. Bindings
are not kept in files, either: a queue, its exchange and its routing key have one name, as Celery
makes them. Whoever removes the folder has only flushed the broker.
"""

from __future__ import annotations

import os
import time
import uuid
from contextlib import suppress
from pathlib import Path
from queue import Empty
from typing import Any

from kombu.exceptions import ChannelError
from kombu.transport import filesystem
from kombu.utils.json import dumps, loads


class Channel(filesystem.Channel):
    """A channel whose messages are whole files."""

    def get_table(self, exchange: str) -> list[Any]:
        """Where messages of an exchange go: to the queue of its name."""
        return [filesystem.exchange_queue_t(exchange, "", exchange)]

    def _queue_bind(self, *_: Any) -> None:
        """Nothing to keep."""

    def _put(self, queue: str, payload: Any, **_: Any) -> None:  # type: ignore[override]
        """Make a message visible once it is complete."""
        name = f"{time.time_ns():020d}_{uuid.uuid4().hex}.{queue}.msg"
        path = Path(self.data_folder_out, name)
        part = path.with_name(f"{name}.part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            part.write_text(dumps(payload), encoding="utf-8")  # type: ignore[no-untyped-call]
            part.rename(path)
        except OSError as error:
            with suppress(OSError):
                part.unlink()
            raise ChannelError(f"a message cannot be written: {error.strerror}") from error

    def _get(self, queue: str, timeout: Any = None) -> Any:
        """Take the oldest message of a queue that nobody else took."""
        suffix = f".{queue}.msg"
        for name in sorted(name for name in self._names() if name.endswith(suffix)):
            path = Path(self.data_folder_in, name)
            try:
                data = path.read_text(encoding="utf-8")
                path.unlink()
            except FileNotFoundError:
                continue
            with suppress(ValueError):
                return loads(data)  # type: ignore[no-untyped-call]
        raise Empty

    def _size(self, queue: str) -> int:
        """Messages that wait in a queue."""
        return sum(name.endswith(f".{queue}.msg") for name in self._names())

    def _purge(self, queue: str) -> int:
        """Remove all messages of a queue; returns how many."""
        names = [name for name in self._names() if name.endswith(f".{queue}.msg")]
        for name in names:
            Path(self.data_folder_in, name).unlink(missing_ok=True)
        return len(names)

    def _delete(self, queue: str, *_: Any, **__: Any) -> None:
        """Remove the messages of a queue that is given up."""
        self._purge(queue)

    def _names(self) -> list[str]:
        try:
            return os.listdir(self.data_folder_in)  # noqa: PTH208 -- polled often, and much faster
        except FileNotFoundError:
            return []


class Transport(filesystem.Transport):
    """Names the channel; everything else is kombu's."""

    Channel = Channel

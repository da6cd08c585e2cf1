"""Strangers that open associations and say nothing."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import Final

from dicom_node.dicom import pdus
from dicom_node.dicom.uids import IMPLEMENTATION_CLASS_UID
from tests.chaos.fault import Fault, Scene
from tests.chaos.images import CT, EXPLICIT

_ASSOCIATIONS: Final = 200


class SilentAssociations(Fault):
    """Two hundred connections, half of which ask for an association, and nothing more."""

    name = "silent associations"
    says = f"{_ASSOCIATIONS} associations and connections that say nothing, for 15 s"
    seconds = 15.0

    def __init__(self) -> None:
        self._sockets: list[socket.socket] = []
        self._before = 0

    def inject(self, scene: Scene) -> None:
        self._before = _memory(scene)
        request = pdus.associate_request(
            called="DENOISE", calling="STRANGER", contexts={1: (CT, (EXPLICIT,))},
            max_pdu=16384, implementation_class_uid=IMPLEMENTATION_CLASS_UID,
            implementation_version="CHAOS",
        )  # fmt: skip
        for number in range(_ASSOCIATIONS):
            port = scene.form.ports[number % len(scene.form.ports)]
            with suppress(OSError):
                one = socket.create_connection(("127.0.0.1", port), 5)
                self._sockets.append(one)
                if number % 2:
                    one.sendall(request)

    def heal(self, scene: Scene) -> None:
        for one in self._sockets:
            one.close()
        self._sockets.clear()

    def settle(self, scene: Scene) -> None:
        grown = (_memory(scene) - self._before) / 2**20
        scene.notes.append(f"intake grew by {grown:.0f} MiB")

    def clean(self, scene: Scene) -> None:
        self.heal(scene)


def _memory(scene: Scene) -> int:
    return sum(each.memory_info().rss for each in scene.form.processes("intake"))

"""Bits that turn over in the spool, between one stage and the next."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from dicom_node.errors import LedgerError
from tests.chaos.fault import Fault, FaultFailed, Scene
from tests.chaos.images import Identity

_IMAGES: Final = 12
_TURNED: Final = 4
_FOUND_SECONDS: Final = 60.0
_FAILED: Final = r"^failed: .+"


def turn(path: Path, find: bytes | None) -> bool:
    """Turn one bit over in place: in the bytes that are looked for, or in the pixels."""
    data = bytearray(path.read_bytes())
    at = len(data) - 3000 if find is None else data.find(find)
    if at < 0:
        return False
    data[at] ^= 0x02
    with path.open("r+b") as file:
        file.write(data)
    return True


class TurnedBits(Fault):
    """While the workers of the next stage stand still, bits of files they are to read are changed.

    What was changed must fail, with a reason; nothing of it may be delivered.
    """

    seconds = 0.5

    def __init__(self, where: str, *, pixels: bool, quick: bool = False) -> None:
        what = "pixels" if pixels else "Patient ID"
        self.name = f"bit turned: {what} of {where}"
        self.says = f"one bit of the {what} of {_TURNED} {where} files turned over in the spool"
        self.quick = quick
        self._where = where
        self._pixels = pixels

    def inject(self, scene: Scene) -> None:
        role = "infer" if self._where == "instance" else "deliver"
        with scene.form.still(role):
            images = scene.images(_IMAGES)
            scene.flow.send(images)
            own = {identity.uid: identity for identity in images}
            found = self._files(scene, own)
            turned = [
                uid
                for uid, path in found[:_TURNED]
                if turn(path, None if self._pixels else own[uid].patient_id.encode())
            ]
            scene.allow(turned, _FAILED)
        if len(turned) < _TURNED:
            raise FaultFailed(f"only {len(turned)} files could be changed")

    def _files(self, scene: Scene, own: dict[str, Identity]) -> list[tuple[str, Path]]:
        books = scene.form.books()
        found: list[tuple[str, Path]] = []
        ask: Callable[[], Iterable[tuple[str, Path]]] = (
            books.waiting_instances if self._where == "instance" else books.unsent_results
        )

        def there() -> bool:
            found[:] = [each for each in ask() if each[0] in own and each[1].is_file()]
            return len(found) >= _TURNED

        try:
            scene.wait(there, _FOUND_SECONDS, f"{_TURNED} files of {self._where}s")
        except LedgerError as error:
            raise FaultFailed(str(error)) from error
        finally:
            books.close()
        return found

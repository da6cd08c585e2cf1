"""Files that are denoised at once: bytes in, bytes of the same kind out, and how it was done."""

from __future__ import annotations

import re
from io import BytesIO
from typing import BinaryIO, Final

from dicom_node.errors import ModelNotHere, Next, NodeError, NoImage, NotDenoised
from dicom_node.places import place_of
from dicom_node.settings import Settings
from model_store.errors import ModelStoreError
from model_store.store import ModelVersion
from workers.direct.denoised_file import DenoisedFile, Kind
from workers.direct.images import denoise_image
from workers.direct.networks import Networks
from workers.direct.objects import denoise_object
from workers.direct.request import Request
from workers.infer import TilesDone

NO_IMAGE: Final = "is no DICOM, PNG, JPEG or TIFF"
"""What is said of a file that is none of these."""

HEAD: Final = 132
"""How many bytes of a file tell what it is."""

_UID: Final = re.compile(r"^([0-2](\.[0-9]+)+|\(no UID\)):? ")
_FORMS: Final[tuple[tuple[int, bytes, Kind], ...]] = (
    (128, b"DICM", "DICOM"),
    (0, b"\x89PNG\r\n\x1a\n", "PNG"),
    (0, b"\xff\xd8\xff", "JPEG"),
    (0, b"II*\0", "TIFF"),
    (0, b"MM\0*", "TIFF"),
)


def kind_of(head: bytes) -> Kind | None:
    """What a file is by its first 132 bytes; None for anything that is not denoised.

    A DICOM file may begin with whatever its writer put into the preamble (PS3.10 7.1), so that is
    looked for first.
    """
    for start, magic, kind in _FORMS:
        if head[start : start + len(magic)] == magic:
            return kind
    return None


class Service:
    """Denoises files one after the other; an engine is built once. Threads may share it.

    Parameters
    ----------
    settings : Settings
        Of a node: where its model versions are and whose are trusted, what results carry, engine.
        The defaults do where there is no node.
    on_tiles : callable, optional
        Told how far each image is.
    """

    def __init__(self, settings: Settings, on_tiles: TilesDone | None = None) -> None:
        self._networks = Networks(settings, on_tiles)

    @property
    def networks(self) -> Networks:
        """Model versions and engines."""
        return self._networks

    def version(self, asked: Request) -> ModelVersion | None:
        """The version that was asked for by name; None where that depends on the image.

        Raises
        ------
        ModelStoreError
            It cannot be had: there is none, it is retired, or it is not to be trusted.
        LedgerError
            The ledger that knows what aliases stand for does not answer.
        """
        return None if asked.model is None else self._networks.resolve(asked.model)

    def denoise(
        self, file: bytes | BinaryIO, asked: Request, *, name: str = "the file"
    ) -> DenoisedFile:
        """Denoise one file: a DICOM object, or a grey PNG, JPEG or TIFF.

        Parameters
        ----------
        file : bytes or BinaryIO
            The file, or one that is open for reading and can be sought in.
        asked : Request
            Provenance.
        name : str
            What messages call it before it is known what it is.

        Returns
        -------
        DenoisedFile
            The result, a file of the same kind, and how it was made.

        Raises
        ------
        NotDenoised
            It was not denoised; the message says why, ``next`` whether it must not be (PASS),
            cannot be (FAIL), or could be at another time (RETRY).
        ModelStoreError, ModelNotHere
            The model version cannot be had, or not be run here.
        """
        stream = BytesIO(file) if isinstance(file, bytes) else file
        stream.seek(0)
        kind = kind_of(stream.read(HEAD))
        stream.seek(0)
        if kind is None:
            raise NoImage(NO_IMAGE)
        try:
            if kind == "DICOM":
                return denoise_object(self._networks, stream, asked, name)
            return denoise_image(self._networks, stream.read(), kind, asked)
        except (ModelStoreError, ModelNotHere, NotDenoised):
            raise
        except NodeError as error:
            why = _UID.sub("", str(error).removeprefix(f"{name}: "))
            raise NotDenoised(why, error.next) from error
        except MemoryError as error:
            raise NotDenoised("it needs more memory than there is", Next.RETRY) from error
        except OSError as error:
            raise NotDenoised(error.strerror or "it cannot be read", Next.RETRY) from error
        except Exception as error:  # -- a file harms only itself
            raise NotDenoised(f"a fault of this program: {place_of(error)}; report that") from error

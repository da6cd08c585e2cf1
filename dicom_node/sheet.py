"""A picture for a page elsewhere: rows of before, after and difference, each with its caption."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

from PIL import Image as Picture
from PIL import ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from dicom_node.pictures import View

SIDE = 416
"""Side of the square that each picture is in, pixels."""

_GAP, _CAPTION, _MARGIN = 12, 36, 16
_INK, _PAPER, _FAINT = 232, 16, 152


@dataclass(frozen=True, slots=True)
class SheetRow:
    """Three pictures side by side.

    Parameters
    ----------
    view : View
    title : str
        Of the first; the others are ``denoised`` and ``difference``.
    before, after : str
        Notes on the first and the second. Beside the difference stands its scale.
    """

    view: View
    title: str
    before: str
    after: str

    @property
    def captions(self) -> tuple[tuple[str, str], ...]:
        """Title and note of each picture."""
        scale = f"{-self.view.scale:+g} to {self.view.scale:+g} {self.view.unit}"
        return (
            (self.title, self.before), ("denoised", self.after), ("difference", scale),
        )  # fmt: skip


def draw(rows: Sequence[SheetRow], foot: str, said: str = "") -> bytes:
    """Draw a wide grey PNG, with one line of text below; the file says `said` of itself."""
    width = 2 * _MARGIN + 3 * SIDE + 2 * _GAP
    height = _CAPTION + SIDE + _GAP
    sheet = Picture.new("L", (width, 2 * _MARGIN + height * len(rows) + _CAPTION), _PAPER)
    pen = ImageDraw.Draw(sheet)
    large, small = ImageFont.load_default(18), ImageFont.load_default(14)
    for number, row in enumerate(rows):
        top = _MARGIN + number * height
        pictures = (row.view.before, row.view.after, row.view.difference)
        for column, (png, (title, note)) in enumerate(zip(pictures, row.captions, strict=True)):
            left = _MARGIN + column * (SIDE + _GAP)
            pen.text((left, top + 6), title, _INK, large)
            pen.text((left + SIDE, top + 10), note, _FAINT, small, anchor="ra")
            picture = _fitted(png)
            aside, below = ((SIDE - size) // 2 for size in picture.size)
            sheet.paste(picture, (left + aside, top + _CAPTION + below))
    pen.text((_MARGIN, sheet.height - _MARGIN), foot, _FAINT, small, anchor="ls")
    stream = BytesIO()
    texts = PngInfo()
    if said:
        texts.add_text("Description", said)
    sheet.save(stream, "PNG", optimize=True, pnginfo=texts)
    return stream.getvalue()


def _fitted(png: bytes) -> Picture.Image:
    """The picture with its longer side as long as the square's."""
    picture = Picture.open(BytesIO(png)).convert("L")
    factor = SIDE / max(picture.size)
    size = tuple(max(1, round(length * factor)) for length in picture.size)
    return picture.resize((size[0], size[1]), Picture.Resampling.LANCZOS)

"""What the drawings of `inspect` share: colours, captions, panels."""

from __future__ import annotations

import io
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from batchdigits.imaging.lines import Line
from batchdigits.types import Row, Status

Picture = NDArray[np.uint8]  #: (H, W, 3) RGB

PANEL = 300
GAP = 16
CAPTION = 46
INK = (32, 33, 36)
PALE = (95, 99, 104)
GROUND = (250, 250, 248)
LINES = (214, 69, 65)  # removed rulings
LEFT_OUT = (240, 160, 40)  # marks that are not the digit
#: Of a row, by its status.
COLOURS = {
    Status.OK: (30, 130, 76),
    Status.REVIEW: (196, 116, 0),
    Status.BLANK: (95, 99, 104),
    Status.ERROR: (179, 38, 30),
}


_TITLE, _LARGER = ImageFont.load_default(20), ImageFont.load_default(22)
_VERDICT = 0.7  # of the width: the rest is for the name


def start_canvas(height: int, row: Row, title: str) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    """Return a canvas of three panels' width, with the file's name and the verdict at its head."""
    width = 3 * PANEL + 4 * GAP
    canvas = Image.new("RGB", (width, height), GROUND)
    draw = ImageDraw.Draw(canvas)
    how_sure = f"   {percent(row.confidence)}   {row.status.value}"
    how_sure += f": {row.reason.replace('_', ' ')}" if row.reason else ""
    room = _VERDICT * width - draw.textlength(how_sure, _LARGER)  # a page has more digits than a line takes
    verdict = _shortened(row.prediction or "no digit", room, _LARGER) + how_sure
    draw.text((width - GAP, 16), verdict, COLOURS[row.status], _LARGER, anchor="ra")
    draw.text((GAP, 16), _shortened(title, width - 4 * GAP - draw.textlength(verdict, _LARGER), _TITLE), INK, _TITLE)
    return canvas, draw


def _shortened(text: str, room: float, font: ImageFont.ImageFont | ImageFont.FreeTypeFont) -> str:
    """Cut a text's middle out until it fits; both ends of a file's name tell most."""
    keep = len(text)
    shown = text
    while keep > 8 and font.getlength(shown) > room:
        keep -= 1
        shown = f"{text[: keep // 2]}...{text[-(keep - keep // 2) :]}"
    return shown


def draw_caption(
    draw: ImageDraw.ImageDraw, left: int, top: int, heading: str, note: str = "", *, width: int = PANEL
) -> None:
    """Write a panel's heading and, at its right end, a note."""
    draw.text((left, top + 4), heading, INK, ImageFont.load_default(16))
    draw.text((left + width, top + 7), note, PALE, ImageFont.load_default(13), anchor="ra")


def as_png(canvas: Image.Image) -> bytes:
    """Return a canvas as a PNG."""
    file = io.BytesIO()
    canvas.save(file, "PNG", optimize=True)
    return file.getvalue()


def show_grey(ink: NDArray[np.float32]) -> Picture:
    """Show an ink map as ink on paper."""
    grey = 255 - np.rint(np.clip(ink, 0, 1) * 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def show_ink(ink: NDArray[np.uint8], used: NDArray[np.bool_], lines: Sequence[Line]) -> Picture:
    """Show the ink map; what was removed from it, and what is not used, in colour."""
    picture = np.full((*ink.shape, 3), 255, np.uint8)
    picture[ink > 0] = LEFT_OUT
    picture[(ink > 0) & used] = INK
    for line in lines:
        along = np.arange(line.start, line.stop)
        reach = max(1, round(line.thickness / 2))
        for shift in range(-reach, reach + 1):
            across = np.clip(line.centre + shift, 0, picture.shape[1 if line.vertical else 0] - 1)
            y, x = (along, across) if line.vertical else (across, along)
            free = ink[y, x] == 0
            picture[y[free], x[free]] = LINES
    return picture


def paste(
    canvas: Image.Image, picture: Picture, left: int, top: int, *, width: int = PANEL, height: int = PANEL
) -> None:
    """Paste a picture into a panel, aspect kept, centred, with a thin frame."""
    rows, columns = picture.shape[:2]
    factor = min(width / columns, height / rows)
    size = (max(1, round(columns * factor)), max(1, round(rows * factor)))
    interpolation = cv2.INTER_AREA if factor < 1 else cv2.INTER_NEAREST
    scaled = cv2.resize(picture, size, interpolation=interpolation)
    x, y = left + (width - size[0]) // 2, top + (height - size[1]) // 2
    canvas.paste(Image.fromarray(scaled), (x, y))
    ImageDraw.Draw(canvas).rectangle((x - 1, y - 1, x + size[0], y + size[1]), outline=(200, 200, 200))


def percent(probability: float) -> str:
    """Return a probability for people; what is nearly certain is not rounded to certainty."""
    return f"{probability:.2%}" if probability < 0.9995 else f"{min(probability, 0.99999):.3%}"

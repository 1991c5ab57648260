"""One picture that shows every step from a photo to its row, for a person to judge at a glance."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from batchdigits.batch import rows_of
from batchdigits.classifiers.runner import Classifier
from batchdigits.errors import NoInputError, PageError
from batchdigits.imaging.pipeline import Steps, tiles_of, trace
from batchdigits.sources.images import cut_region, read_pages
from batchdigits.sources.regions import parse_region
from batchdigits.types import Page, Row, Status

Picture = NDArray[np.uint8]

_PANEL = 300
_GAP = 16
_CAPTION = 46
_INK = (32, 33, 36)
_PALE = (95, 99, 104)
_GROUND = (250, 250, 248)
_LINES = (214, 69, 65)  # removed rulings
_LEFT_OUT = (240, 160, 40)  # marks that are not the digit
_COLOURS = {
    Status.OK: (30, 130, 76),
    Status.REVIEW: (196, 116, 0),
    Status.BLANK: (95, 99, 104),
    Status.ERROR: (179, 38, 30),
}


def inspect_image(path: Path, classifier: Classifier, *, page: int = 1, region: str | None = None) -> tuple[Row, bytes]:
    """Classify one picture and draw how.

    Parameters
    ----------
    path : Path
        An image file.
    classifier : Classifier
        The model.
    page : int
        1-based frame of a TIFF.
    region : str, optional
        ``[NAME=]x,y,w,h``: only this part of the page.

    Returns
    -------
    row : Row
        What `classify` says of it.
    png : bytes
        The drawing.

    Raises
    ------
    NoInputError
        If there is no such file or page, or it cannot be read.
    """
    settings = classifier.card.imaging
    found = _find_page(path, page, None if region else settings.decode_size)
    if region:
        try:
            found = cut_region(found, parse_region(region))
        except PageError as error:
            raise NoInputError(f"{path}: {error.detail}") from error
    steps = trace(found.pixels, settings)
    (rows,) = rows_of([[tiles_of(steps, found)]], classifier)
    return rows[0], draw_steps(steps, rows[0], path.name)


def _find_page(path: Path, number: int, reduce_to: int | None) -> Page:
    if not path.is_file():
        raise NoInputError(f"{path} does not exist, or is no file.")
    for page in read_pages(path, path.name, reduce_to=reduce_to):
        if isinstance(page, Page):
            if page.id.number == number:
                return page
        elif page[0].number == number:
            raise NoInputError(f"{path}: {page[1].detail}")
    raise NoInputError(f"{path} has no page {number}.")


def draw_steps(steps: Steps, row: Row, title: str) -> bytes:
    """Draw the steps of `trace` and the probabilities of a row.

    Returns
    -------
    bytes
        A PNG.
    """
    panels = [
        (_framed(steps), "1  Photo", "the digit found" if steps.groups else "no digit found"),
        (_grey(steps.contrast), "2  Contrast", "light removed" + (", a negative" if steps.light_on_dark else "")),
        (_removed(steps), "3  Ink", _explain_colours(steps)),
        (_grey(steps.digit, _digit_window(steps)), "4  Digit", "cut out"),
        (_grey(steps.tile), "5  Tile", "deskewed, 20 x 20, centred by mass"),
    ]
    width = 3 * _PANEL + 4 * _GAP
    height = 60 + 2 * (_PANEL + _CAPTION) + _GAP
    canvas = Image.new("RGB", (width, height), _GROUND)
    draw = ImageDraw.Draw(canvas)
    draw.text((_GAP, 16), title, _INK, ImageFont.load_default(20))
    verdict = f"{row.prediction or 'no digit'}   {_percent(row.confidence)}   {row.status.value}"
    verdict += f": {row.reason.replace('_', ' ')}" if row.reason else ""
    draw.text((width - _GAP, 16), verdict, _COLOURS[row.status], ImageFont.load_default(22), anchor="ra")
    for number, (picture, heading, note) in enumerate(panels):
        left = _GAP + number % 3 * (_PANEL + _GAP)
        top = 60 + number // 3 * (_PANEL + _CAPTION)
        _paste(canvas, picture, left, top + 30)
        draw.text((left, top + 4), heading, _INK, ImageFont.load_default(16))
        draw.text((left + _PANEL, top + 7), note, _PALE, ImageFont.load_default(13), anchor="ra")
    _draw_bars(draw, row, _GAP + 2 * (_PANEL + _GAP), 60 + _PANEL + _CAPTION)
    file = io.BytesIO()
    canvas.save(file, "PNG", optimize=True)
    return file.getvalue()


def _explain_colours(steps: Steps) -> str:
    parts = ["red: rulings removed"] if steps.lines else []
    if len(steps.groups) > 1:
        parts.append("orange: not the digit")
    return ", ".join(parts) or "threshold"


def _grey(ink: NDArray[np.float32], window: tuple[slice, slice] | None = None) -> Picture:
    """Show an ink map as ink on paper."""
    shown = ink if window is None else ink[window]
    grey = 255 - np.rint(np.clip(shown, 0, 1) * 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def _digit_window(steps: Steps) -> tuple[slice, slice]:
    """Return the digit's box with a little paper around it."""
    if not steps.groups:
        return slice(None), slice(None)
    box = steps.groups[0].box
    margin = max(2, max(box.width, box.height) // 12)
    return (
        slice(max(0, box.top - margin), box.bottom + margin),
        slice(max(0, box.left - margin), box.right + margin),
    )


def _framed(steps: Steps) -> Picture:
    """Show the photo with a frame around the digit."""
    picture = steps.work[..., ::-1].copy()
    if steps.groups:
        box = steps.groups[0].box
        thickness = max(1, round(max(picture.shape) / 160))
        cv2.rectangle(picture, (box.left, box.top), (box.right - 1, box.bottom - 1), _LINES, thickness)
    return picture


def _removed(steps: Steps) -> Picture:
    """Show the ink map, what was removed from it and what is not the digit in colour."""
    picture = np.full((*steps.ink.shape, 3), 255, np.uint8)
    picture[steps.ink > 0] = _LEFT_OUT if steps.groups else _INK
    picture[(steps.ink > 0) & (steps.digit > 0)] = _INK
    for line in steps.lines:
        along = np.arange(line.start, line.stop)
        reach = max(1, round(line.thickness / 2))
        for shift in range(-reach, reach + 1):
            across = np.clip(line.centre + shift, 0, picture.shape[1 if line.vertical else 0] - 1)
            y, x = (along, across) if line.vertical else (across, along)
            free = steps.ink[y, x] == 0
            picture[y[free], x[free]] = _LINES
    return picture


def _paste(canvas: Image.Image, picture: Picture, left: int, top: int) -> None:
    """Paste a picture into its panel, aspect kept, centred, with a thin frame."""
    height, width = picture.shape[:2]
    factor = _PANEL / max(height, width)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    interpolation = cv2.INTER_AREA if factor < 1 else cv2.INTER_NEAREST
    scaled = cv2.resize(picture, size, interpolation=interpolation)
    x, y = left + (_PANEL - size[0]) // 2, top + (_PANEL - size[1]) // 2
    canvas.paste(Image.fromarray(scaled), (x, y))
    ImageDraw.Draw(canvas).rectangle((x - 1, y - 1, x + size[0], y + size[1]), outline=(200, 200, 200))


def _draw_bars(draw: ImageDraw.ImageDraw, row: Row, left: int, top: int) -> None:
    """Draw the ten probabilities as bars."""
    draw.text((left, top + 4), "6  Probabilities", _INK, ImageFont.load_default(16))
    draw.text((left + _PANEL, top + 7), row.model, _PALE, ImageFont.load_default(13), anchor="ra")
    if row.digits:
        known = row.confidence / max(max(row.digits[0].probabilities), 1e-9)
        note = f"chance that it is a digit: {_percent(known)}"
        draw.text((left + _PANEL, top + _PANEL + 32), note, _PALE, ImageFont.load_default(13), anchor="ra")
    probabilities: Sequence[float] = row.digits[0].probabilities if row.digits else (0.0,) * 10
    step = _PANEL / 10
    for digit, probability in enumerate(probabilities):
        y = top + 30 + digit * step
        best = row.prediction == str(digit)
        colour = _COLOURS[row.status] if best else (150, 160, 175)
        draw.text((left + 4, y + step / 2), str(digit), _INK, ImageFont.load_default(16), anchor="lm")
        draw.rectangle((left + 24, y + 5, left + 24 + probability * 190, y + step - 5), fill=colour)
        shown = _percent(probability)
        draw.text((left + _PANEL, y + step / 2), shown, _INK, ImageFont.load_default(13), anchor="rm")


def _percent(probability: float) -> str:
    """Return a probability for people; what is nearly certain is not rounded to certainty."""
    return f"{probability:.2%}" if probability < 0.9995 else f"{min(probability, 0.99999):.3%}"

"""One picture that shows every step from a photo to its row, for a person to judge at a glance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
from PIL import ImageDraw, ImageFont

from batchdigits.batch import rows_of
from batchdigits.classifiers.runner import Classifier
from batchdigits.errors import NoInputError, PageError
from batchdigits.imaging.pipeline import Steps
from batchdigits.looking import first_size, look_for_digit, look_for_text
from batchdigits.reading import READERS
from batchdigits.report.drawing import (
    CAPTION,
    COLOURS,
    GAP,
    INK,
    LINES,
    PALE,
    PANEL,
    Picture,
    as_png,
    draw_caption,
    paste,
    percent,
    show_grey,
    show_ink,
    start_canvas,
)
from batchdigits.report.text_inspection import draw_text_steps
from batchdigits.sources.documents import read_page
from batchdigits.sources.images import cut_region
from batchdigits.sources.regions import parse_region
from batchdigits.types import Layout, Page, PageId, Row, Variant


def inspect_image(
    path: Path,
    classifier: Classifier,
    *,
    page: int = 1,
    region: str | None = None,
    layout: Layout = Layout.DIGIT,
) -> tuple[Row, bytes]:
    """Classify one picture and draw how.

    Parameters
    ----------
    path : Path
        An image or a PDF.
    classifier : Classifier
        The model.
    page : int
        1-based, of a TIFF or a PDF.
    region : str, optional
        ``[NAME=]x,y,w,h``: only this part of the page.
    layout : Layout
        What to look for.

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
    found = _find_page(path, page, None if region else first_size(settings, layout))
    if region:
        try:
            found = cut_region(found, parse_region(region))
        except PageError as error:
            raise NoInputError(f"{path}: {error.detail}") from error
    reread = partial(read_page, path, found.id)
    if layout is not Layout.DIGIT:
        tiles, found, _, text_steps = look_for_text(found, settings, layout, reread, classifier)
        scores, card = classifier(tiles.pixels), classifier.card
        row = READERS[layout](tiles, scores, card.thresholds, card.label)
        return row, draw_text_steps(text_steps.writing, tiles, scores, row, found, path.name)
    tiles, _, _, steps = look_for_digit(found, settings, reread)
    (rows,) = rows_of([[tiles]], classifier)
    for variant, box in zip(tiles.variants, tiles.boxes, strict=False):  # a blank page has no box
        if variant in steps.others and rows[0].box == box:
            shown = steps.others[variant]
            lines = () if variant is Variant.WITH_LINES else steps.lines
            steps = replace(steps, lines=lines, ink=shown.ink, groups=shown.groups, digit=shown.digit, tile=shown.tile)
    return rows[0], draw_steps(steps, rows[0], path.name)


def _find_page(path: Path, number: int, reduce_to: int | None) -> Page:
    if not path.is_file():
        raise NoInputError(f"{path} does not exist, or is no file.")
    try:
        return read_page(path, PageId(path.name, number), reduce_to)
    except PageError as error:
        raise NoInputError(f"{path}: {error.detail}") from error


def draw_steps(steps: Steps, row: Row, title: str) -> bytes:
    """Draw the steps of `trace` and the probabilities of a row.

    Returns
    -------
    bytes
        A PNG.
    """
    panels = [
        (_framed(steps), "1  Photo", "the digit found" if steps.groups else "no digit found"),
        (show_grey(steps.contrast), "2  Contrast", "light removed" + (", a negative" if steps.light_on_dark else "")),
        (show_ink(steps.ink, (steps.digit > 0) | (not steps.groups), steps.lines), "3  Ink", _explain_colours(steps)),
        (show_grey(steps.digit[_digit_window(steps)]), "4  Digit", "cut out"),
        (show_grey(steps.tile), "5  Tile", "deskewed, 20 x 20, centred by mass"),
    ]
    canvas, draw = start_canvas(60 + 2 * (PANEL + CAPTION) + GAP, row, title)
    for number, (picture, heading, note) in enumerate(panels):
        left = GAP + number % 3 * (PANEL + GAP)
        top = 60 + number // 3 * (PANEL + CAPTION)
        paste(canvas, picture, left, top + 30)
        draw_caption(draw, left, top, heading, note)
    _draw_bars(draw, row, GAP + 2 * (PANEL + GAP), 60 + PANEL + CAPTION)
    return as_png(canvas)


def _explain_colours(steps: Steps) -> str:
    parts = ["red: rulings removed"] if steps.lines else []
    if steps.groups and ((steps.ink > 0) & (steps.digit == 0)).any():
        parts.append("orange: not the digit")
    return ", ".join(parts) or "threshold"


def _digit_window(steps: Steps) -> tuple[slice, slice]:
    """Return the digit's box with a little paper around it."""
    if not steps.groups:
        return slice(None), slice(None)
    box = steps.groups[0].box
    margin = max(2, box.longer // 12)
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
        cv2.rectangle(picture, (box.left, box.top), (box.right - 1, box.bottom - 1), LINES, thickness)
    return picture


def _draw_bars(draw: ImageDraw.ImageDraw, row: Row, left: int, top: int) -> None:
    """Draw the ten probabilities as bars."""
    draw_caption(draw, left, top, "6  Probabilities", row.model)
    if row.digits:
        known = row.confidence / max(max(row.digits[0].probabilities), 1e-9)
        note = f"chance that it is a digit: {percent(known)}"
        draw.text((left + PANEL, top + PANEL + 32), note, PALE, ImageFont.load_default(13), anchor="ra")
    probabilities: Sequence[float] = row.digits[0].probabilities if row.digits else (0.0,) * 10
    step = PANEL / 10
    for digit, probability in enumerate(probabilities):
        y = top + 30 + digit * step
        best = row.prediction == str(digit)
        colour = COLOURS[row.status] if best else (150, 160, 175)
        draw.text((left + 4, y + step / 2), str(digit), INK, ImageFont.load_default(16), anchor="lm")
        draw.rectangle((left + 24, y + 5, left + 24 + probability * 190, y + step - 5), fill=colour)
        shown = percent(probability)
        draw.text((left + PANEL, y + step / 2), shown, INK, ImageFont.load_default(13), anchor="rm")

"""One picture that shows how a number or a page is read: lines removed, digits found, every tile with its guess."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import ImageFont

from batchdigits.classifiers.runner import Scores
from batchdigits.imaging.writing import Writing
from batchdigits.report.drawing import (
    CAPTION,
    GAP,
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
from batchdigits.types import Box, Digit, Page, Row, Tiles

_SURE, _UNSURE = (30, 130, 76), (214, 69, 65)
_SIDE = 84  # of a tile and its guess
_MOST = 120  # tiles shown


def draw_text_steps(writing: Writing, tiles: Tiles, scores: Scores, row: Row, page: Page, title: str) -> bytes:
    """Draw what was found on a page, and the digits of its row.

    Parameters
    ----------
    writing : Writing
        Of the page.
    tiles : Tiles
        Made of it.
    scores : Scores
        Of the tiles.
    row : Row
        What was read of them.
    page : Page
        The picture.
    title : str
        Its name.

    Returns
    -------
    bytes
        A PNG.
    """
    width = (3 * PANEL + GAP) // 2
    columns = (3 * PANEL + 2 * GAP) // _SIDE
    digits = row.digits[:_MOST]
    height = min(width, round(width * writing.work.shape[0] / writing.work.shape[1]))
    top = 60 + height + CAPTION
    canvas, draw = start_canvas(top + 30 + -(-len(digits) // columns) * (_SIDE + 20) + GAP, row, title)
    notes = ["red: rulings removed"] if writing.lines else []
    notes.append("orange: not read")
    used = np.zeros(writing.ink.shape, np.bool_)
    for digit in row.digits:
        left, upper, right, lower = _scaled(digit.box, page, writing.work)
        used[upper:lower, left:right] = True
    for number, (picture, heading, note) in enumerate(
        [
            (_framed(row, page, writing), "1  Photo", "what was read"),
            (show_ink(writing.ink, used, writing.lines), "2  Ink", ", ".join(notes)),
        ]
    ):
        left = GAP + number * (width + GAP)
        paste(canvas, picture, left, 90, width=width, height=height)
        draw_caption(draw, left, 60, heading, note, width=width)
    more = f"the first {_MOST} of {len(row.digits)}" if len(row.digits) > _MOST else ""
    draw_caption(draw, GAP, top, "3  Tiles", f"{more}   {row.model}", width=2 * width + GAP)
    for number, digit in enumerate(digits):
        left, upper = GAP + number % columns * _SIDE, top + 30 + number // columns * (_SIDE + 20)
        paste(canvas, show_grey(_tile(digit, tiles, scores)), left, upper, width=_SIDE - 12, height=_SIDE - 12)
        draw.text((left, upper + _SIDE - 10), str(digit.digit), _colour(digit), ImageFont.load_default(18))
        guess = percent(digit.confidence)
        draw.text((left + _SIDE - 12, upper + _SIDE - 6), guess, PALE, ImageFont.load_default(12), anchor="ra")
    return as_png(canvas)


def _colour(digit: Digit) -> tuple[int, int, int]:
    return _SURE if digit.confidence >= 0.9 else _UNSURE


def _tile(digit: Digit, tiles: Tiles, scores: Scores) -> NDArray[np.float32]:
    """Return the tile that a digit was read from: a page held four ways has four of the same box."""
    same = [number for number, box in enumerate(tiles.boxes) if box == digit.box]
    off = [np.abs(scores.probabilities[number] - digit.probabilities).sum() for number in same]
    tile: NDArray[np.float32] = tiles.pixels[same[int(np.argmin(off))]]
    return tile


def _scaled(box: Box, page: Page, work: Picture) -> Box:
    """Translate a box from the upright original's pixels to the working size."""
    x = work.shape[1] / page.pixels.shape[1] / page.scale[0]
    y = work.shape[0] / page.pixels.shape[0] / page.scale[1]
    left, top = page.origin
    return Box(
        round((box.left - left) * x),
        round((box.top - top) * y),
        round((box.right - left) * x),
        round((box.bottom - top) * y),
    )


def _framed(row: Row, page: Page, writing: Writing) -> Picture:
    """Show the photo with a frame around every digit, and what it was read as."""
    picture = writing.work[..., ::-1].copy()
    thickness = max(1, round(max(picture.shape) / 400))
    for digit in row.digits:
        left, top, right, bottom = _scaled(digit.box, page, writing.work)
        cv2.rectangle(picture, (left, top), (right, bottom), _colour(digit), thickness)
        size = max(0.4, (bottom - top) / 60)
        place = (left, max(10, top - 2 * thickness))
        cv2.putText(picture, str(digit.digit), place, cv2.FONT_HERSHEY_SIMPLEX, size, _colour(digit), thickness)
    return picture

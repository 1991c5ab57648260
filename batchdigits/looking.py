"""Page to tiles at the resolution that its digits ask for: a first look, and a closer one where they are small."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from batchdigits.imaging.pipeline import find_digit
from batchdigits.imaging.settings import ImagingSettings
from batchdigits.imaging.text import FINER, find_text
from batchdigits.sources.images import crop_page
from batchdigits.types import Box, Layout, Page, Tiles

_SMALL = 32  # pixels at working size: a smaller digit loses strokes there
_PART = 4  # of the digit's size: the part of the page that a closer look takes
_WORTHWHILE = 1.5  # how much larger it must show the digit
_FINEST = 6  # times the working size for one digit: what a page of digits may take

Reread = Callable[[int | None], Page]
"""Decode the same page again, its long side at least so many pixels; None for all there are."""


class Look(NamedTuple):
    """What was found, and where."""

    tiles: Tiles
    page: Page  #: what was looked at: the page, or the part of it around a small digit
    finer: int  #: the working size, as a multiple of that for one digit


def first_size(settings: ImagingSettings, layout: Layout) -> int:
    """Return the long side that a page keeps at least for the first look, where its file can be decoded smaller."""
    return settings.decode_size * (1 if layout is Layout.DIGIT else FINER)


def look(page: Page, settings: ImagingSettings, layout: Layout, reread: Reread | None = None) -> Look:
    """Find the digits of a page.

    Parameters
    ----------
    page : Page
        Decoded at `first_size` or more.
    settings : ImagingSettings
        What the model was trained with.
    layout : Layout
        What to look for.
    reread : callable, optional
        How to decode the page again, if it was decoded at reduced size.

    Returns
    -------
    Look
        Its tiles' boxes are in the upright original's pixels, whichever part was looked at.
    """
    if layout is Layout.DIGIT:
        return _look_for_digit(page, settings, reread)
    return _look_for_text(page, settings, layout, reread)


def _look_for_digit(page: Page, settings: ImagingSettings, reread: Reread | None) -> Look:
    first = Look(find_digit(page, settings), page, 1)
    if not first.tiles.boxes:
        return first
    box = first.tiles.boxes[0]
    size = max(box.width, box.height)
    original = _original_size(page)
    seen, closer_by = _enlargement(original, settings), _enlargement(min(original, _PART * size), settings)
    if size * seen >= _SMALL or closer_by < _WORTHWHILE * seen:
        return first
    part = _part_around(_whole(page, reread), box, round((_PART - 1) / 2 * size))
    closer = find_digit(part, settings)
    if not closer.boxes:
        return first
    # what else there is on the page, only the first look has seen
    notes = tuple(dict.fromkeys(first.tiles.notes + closer.notes))
    return Look(replace(closer, notes=notes), part, 1)


def _look_for_text(page: Page, settings: ImagingSettings, layout: Layout, reread: Reread | None) -> Look:
    first = Look(find_text(page, settings, layout), page, FINER)
    if not first.tiles.boxes:
        return first
    size = float(np.median([max(box.width, box.height) for box in first.tiles.boxes]))
    original = _original_size(page)
    wanted = FINER * _SMALL / (size * min(1.0, FINER * settings.work_size / original))
    finer = min(_FINEST, int(np.ceil(wanted)))
    if finer <= FINER or original <= FINER * settings.work_size:
        return first
    again = page
    if reread and page.scale != (1.0, 1.0) and max(page.pixels.shape) < finer * settings.work_size:
        again = reread(finer * settings.work_size)
    return Look(find_text(again, settings, layout, finer=finer), again, finer)


def _original_size(page: Page) -> float:
    """Return the long side of a page in the original's pixels."""
    return float(max(page.pixels.shape[0] * page.scale[1], page.pixels.shape[1] * page.scale[0]))


def _enlargement(long_side: float, settings: ImagingSettings) -> float:
    """Return how many pixels at working size make one of a picture."""
    return min(max(long_side, settings.min_work_size), settings.work_size) / long_side


def _whole(page: Page, reread: Reread | None) -> Page:
    return reread(None) if reread and page.scale != (1.0, 1.0) else page


def _part_around(page: Page, box: Box, margin: int) -> Page:
    """Return the part of a page around a box that is given in the original's pixels."""
    height, width = page.pixels.shape[:2]
    left, top, right, bottom = (
        round((edge - origin) / scale)
        for edge, origin, scale in zip(
            (box.left - margin, box.top - margin, box.right + margin, box.bottom + margin),
            page.origin * 2,
            page.scale * 2,
            strict=True,
        )
    )
    return crop_page(page, max(0, left), max(0, top), min(width, right), min(height, bottom), page.id.region)

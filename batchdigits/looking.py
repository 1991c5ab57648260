"""Page to tiles at the resolution that its digits ask for: a first look, and a closer one where they are small."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Generic, NamedTuple, TypeVar

import cv2
import numpy as np

from batchdigits.errors import PageError
from batchdigits.imaging.lone import find_lone_digit
from batchdigits.imaging.normalise import RIM, stroke_width
from batchdigits.imaging.pipeline import Steps, tiles_of, trace, window_around
from batchdigits.imaging.segment import is_tiny
from batchdigits.imaging.settings import ImagingSettings
from batchdigits.imaging.text import TextSteps, TileMaker, arrange, text_tiles_of, ways_up
from batchdigits.imaging.writing import FINER, Writing, find_writing, size_at_a_glance
from batchdigits.orientation import Classify, likely_ways_up
from batchdigits.sources.images import crop_page
from batchdigits.types import Box, Layout, Page, Tiles, Variant

_GLANCE = 256  # pixels: the long side at which a page is looked at first
_LARGE = 48  # pixels at a glance: a smaller digit is looked at again,
_BOLD = 2.4  # and so is one of thinner strokes: below some two pixels all seem to be of two
_SMALL = 32  # pixels at working size: a smaller digit loses strokes there
_SMALL_ON_PAGE = 40  # likewise, among others: pages are written with thinner pens, and faint ones break sooner
_THIN = 3.0  # pixels at working size: a stroke that is thinner may be better seen in more of them
_PART = 4  # of the digit's size: the part of the page that a closer look takes
_WORTHWHILE = 1.5  # how much larger it must show the digit
_SAME = 0.3  # of two boxes: what they share, if they are of the same digit
_FINEST = 6  # times the working size for one digit: what a page of digits may take

Reread = Callable[[int | None], Page]
"""Decode the same page again, its long side at least so many pixels, None for all there are; or raise PageError."""


S = TypeVar("S", Steps, TextSteps)


class Look(NamedTuple, Generic[S]):
    """What was found, and where."""

    tiles: Tiles
    page: Page  #: what was looked at: the page, or the part of it around a small digit
    finer: float  #: the working size, as a multiple of that for one digit
    steps: S  #: how it was found


def first_size(settings: ImagingSettings, layout: Layout) -> int:
    """Return the long side that a page keeps at least for the first look, where its file can be decoded smaller."""
    return settings.decode_size if layout is Layout.DIGIT else _ample_size(FINER, settings)


def _ample_size(finer: int, settings: ImagingSettings) -> int:
    """Return the long side from which a page comes down to a working size without losing anything."""
    return 3 * finer * settings.work_size // 2


def look(
    page: Page,
    settings: ImagingSettings,
    layout: Layout,
    reread: Reread | None = None,
    classify: Classify | None = None,
) -> Look[Steps] | Look[TextSteps]:
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
    classify : callable, optional
        The model, to tell by some of its digits which way up a long page lies; without it, all four ways are offered.

    Returns
    -------
    Look
        Its tiles' boxes are in the upright original's pixels, whichever part was looked at.
    """
    if layout is Layout.DIGIT:
        return look_for_digit(page, settings, reread)
    return look_for_text(page, settings, layout, reread, classify)


def find_tiles(
    page: Page,
    settings: ImagingSettings,
    layout: Layout,
    reread: Reread | None = None,
    classify: Classify | None = None,
) -> Tiles:
    """Find the digits of a page: the tiles of `look`, sooner where nobody asks how they were found."""
    whole = layout is Layout.DIGIT and page.scale == (1.0, 1.0)
    # of a digit that large, no closer look is worthwhile
    lone = find_lone_digit(page, settings, smallest=_SMALL + RIM) if whole else None
    return lone or look(page, settings, layout, reread, classify).tiles


def look_for_digit(page: Page, settings: ImagingSettings, reread: Reread | None = None) -> Look[Steps]:
    """Find the one digit of a page: `look` for one layout."""
    glance = _glance_at_digit(page, settings)
    if glance and _is_plain(glance):
        return glance
    first = _look_at_digit(page, settings)
    if page.scale != (1.0, 1.0) and max(page.pixels.shape) < settings.work_size and _is_doubtful(first):
        page = _read_again(page, _ample_size(1, settings), reread)
        first = _look_at_digit(page, settings)
    best, steps = first, first.steps
    if not steps.groups:
        return first
    box = first.tiles.boxes[0]
    size = box.longer
    original = _original_size(page)
    decoded = max(page.pixels.shape[:2])
    seen = _enlargement(decoded, settings) * decoded / original
    closer_by = _enlargement(min(original, _PART * size), settings)
    if size * seen < _SMALL and closer_by >= _WORTHWHILE * seen:
        whole = _read_again(page, math.ceil(original * min(1.0, closer_by)), reread)
        part = _part_around(whole, box, round((_PART - 1) / 2 * size))
        closer = trace(part.pixels, settings)
        tiles = tiles_of(closer, part)
        if closer.groups and _overlap(tiles.boxes[0], box) > _SAME:
            # what else is on the page only the first look has seen; how the digit lies, the closer one sees better
            several = tuple(note for note in first.tiles.notes if note == "several_digits")
            notes, *others = (
                several + tuple(note for note in own if note != "several_digits")
                for own in (tiles.notes, *tiles.other_notes)
            )
            best = Look(replace(tiles, notes=notes, other_notes=tuple(others)), part, 1, closer)
    if is_tiny(steps.groups[0].box, steps.ink.shape) and not best.steps.groups[0].written:
        return best._replace(tiles=replace(best.tiles, unless_blank="too_small"))  # dust, most probably
    return best


def _look_at_digit(page: Page, settings: ImagingSettings) -> Look[Steps]:
    steps = trace(page.pixels, settings)
    return Look(tiles_of(steps, page), page, 1, steps)


def _glance_at_digit(page: Page, settings: ImagingSettings) -> Look[Steps] | None:
    """Look at a page at a size that is enough for a large digit; None if it is hardly larger itself.

    Training sees digits of no more pixels.
    """
    seen = _in_whole_squares(page, _GLANCE)
    if seen is page or min(seen.pixels.shape[:2]) < _LARGE:
        return None
    steps = trace(seen.pixels, settings, light_size=_GLANCE // 2)
    return Look(tiles_of(steps, seen), seen, 1, steps)


def _is_plain(seen: Look[Steps]) -> bool:
    """Tell whether a glance has shown one large bold digit and nothing to doubt."""
    tiles, steps = seen.tiles, seen.steps
    notes = zip(tiles.variants, (tiles.notes, *tiles.other_notes), strict=True)
    # that of the lines is always in doubt, and no less so in a closer look
    if tiles.faults or not steps.groups or any(own for variant, own in notes if variant is not Variant.WITH_LINES):
        return False
    box = steps.groups[0].box
    return box.longer >= _LARGE and stroke_width(steps.digit[window_around(box)]) >= _BOLD


def _is_doubtful(seen: Look[Steps]) -> bool:
    """Tell whether what was seen of a page that has less than the working size may look otherwise at that size.

    Strokes of few pixels break, and thin rulings hide among them.
    """
    if not seen.steps.groups or any((*seen.tiles.notes, *seen.tiles.faults)):
        return True
    return stroke_width(seen.steps.digit[window_around(seen.steps.groups[0].box)]) < _THIN


def look_for_text(
    page: Page,
    settings: ImagingSettings,
    layout: Layout,
    reread: Reread | None = None,
    classify: Classify | None = None,
) -> Look[TextSteps]:
    """Find the digits of one line or of a whole page: `look` for the other layouts."""
    size = _size_at_a_glance(page, settings) if layout is Layout.PAGE else 0.0
    if size:
        finer = min(_FINEST, max(FINER, _SMALL_ON_PAGE / size * _original_size(page) / settings.work_size))
        page = _read_again(page, math.ceil(finer * settings.work_size), reread)
        writing = find_writing(page.pixels, settings, finer=finer)
    else:
        page, finer, writing = _look_at_text(page, settings, reread)
    held, make_tiles = ways_up(layout), TileMaker(settings)
    if classify and len(held) > 1:
        held = likely_ways_up(writing, make_tiles, classify)
    steps = arrange(writing, held)
    return Look(text_tiles_of(steps, page, make_tiles, layout), page, finer, steps)


def _size_at_a_glance(page: Page, settings: ImagingSettings) -> float:
    """Return the size of a page's digits in the original's pixels; 0 if a coarse look shows too few to tell."""
    small = _in_whole_squares(page, settings.work_size)
    return size_at_a_glance(small.pixels, settings) * small.scale[0]


def _look_at_text(page: Page, settings: ImagingSettings, reread: Reread | None) -> tuple[Page, float, Writing]:
    """Look at writing, and closer where it is small; return the page, how closely it was looked at, and the writing."""
    writing = find_writing(page.pixels, settings)
    seen = min(_original_size(page), FINER * settings.work_size)
    finer = wanted = FINER
    if writing.pieces:
        size = float(np.median([piece.box.longer for piece in writing.pieces]))
        wanted = min(_FINEST, math.ceil(FINER * _SMALL_ON_PAGE / size))
    if min(_original_size(page), wanted * settings.work_size) >= _WORTHWHILE * seen:
        whole = _read_again(page, wanted * settings.work_size, reread)
        closer = find_writing(whole.pixels, settings, finer=wanted)
        # noise that a coarser look had averaged away may take digits apart
        if 0 < len(closer.pieces) <= 2 * len(writing.pieces):
            page, finer, writing = whole, wanted, closer
    return page, finer, writing


def _in_whole_squares(page: Page, long_side: int) -> Page:
    """Return a page about that large, its pixels the means of whole squares: a tenth of the time of any other way."""
    by = max(1, round(max(page.pixels.shape[:2]) / long_side))
    width, height = page.pixels.shape[1] // by, page.pixels.shape[0] // by
    if by < 2 or not min(width, height):
        return page
    small, left = page.pixels[: height * by, : width * by], by
    while left > 1:  # of four pixels it takes a fraction of the time of any other number
        step = 2 if left % 2 == 0 else left
        size = small.shape[1] // step, small.shape[0] // step
        small, left = np.asarray(cv2.resize(small, size, interpolation=cv2.INTER_AREA), dtype=np.uint8), left // step
    return replace(page, pixels=small, scale=(page.scale[0] * by, page.scale[1] * by))


def _read_again(page: Page, size: int | None, reread: Reread | None) -> Page:
    """Decode a page with its long side at least so many pixels; the page itself if there are no more to be had."""
    if not reread or page.scale == (1.0, 1.0) or (size and max(page.pixels.shape) >= size):
        return page
    try:
        return reread(size)
    except PageError:  # too large for the memory, perhaps; what was seen already is worth more than nothing
        return page


def _overlap(one: Box, other: Box) -> float:
    """Return the area that two boxes share, of that which they cover together."""
    width = min(one.right, other.right) - max(one.left, other.left)
    height = min(one.bottom, other.bottom) - max(one.top, other.top)
    shared = max(0, width) * max(0, height)
    return shared / (one.width * one.height + other.width * other.height - shared)


def _original_size(page: Page) -> float:
    """Return the long side of a page in the original's pixels."""
    return float(max(page.pixels.shape[0] * page.scale[1], page.pixels.shape[1] * page.scale[0]))


def _enlargement(long_side: float, settings: ImagingSettings) -> float:
    """Return how many pixels at working size make one of a picture."""
    return min(max(long_side, settings.min_work_size), settings.work_size) / long_side


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

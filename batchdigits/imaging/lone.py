"""A lone mark in a small picture: the same steps as in `pipeline`, in the window around the mark alone.

Folders of single digits of 28 x 28 pixels are full of such. Where a picture may have anything else to decide, as
several marks, rulings or too little ink, it is left to the ordinary way.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from batchdigits.imaging.ink import (
    Contrast,
    binarise,
    measure_contrast,
    one_channel_if_grey,
    resize_to_work,
    sharpen_marks,
)
from batchdigits.imaging.lines import hold_none
from batchdigits.imaging.normalise import make_tile, soft_ink
from batchdigits.imaging.pipeline import (
    clear_lines,
    mostly_ink,
    original_scale,
    to_original,
    touches_edge,
    window_around,
)
from batchdigits.imaging.quality import find_faults, is_illegible
from batchdigits.imaging.settings import ImagingSettings
from batchdigits.types import Box, Page, Tiles

_FOLD = 4  # times enlarged, one channel of a square comes out as each of three does; others may be rounded otherwise


def find_lone_digit(page: Page, settings: ImagingSettings, smallest: int) -> Tiles | None:
    """Find the digit of a small picture that shows nothing else.

    Parameters
    ----------
    page : Page
        The picture.
    settings : ImagingSettings
        What the model was trained with.
    smallest : int
        Pixels at working size: a smaller digit is left to the ordinary way.

    Returns
    -------
    Tiles or None
        What `find_digit` finds, to the last bit; None if it may have more to decide.
    """
    pixels = page.pixels
    if max(pixels.shape) >= settings.min_work_size:
        return None
    if settings.min_work_size == _FOLD * pixels.shape[0] == _FOLD * pixels.shape[1]:
        pixels = one_channel_if_grey(pixels)
    work = resize_to_work(pixels, settings)
    whole = measure_contrast(work, settings)
    window = window_around(_box_of((whole.ink > whole.least).view(np.uint8)))
    corner = window[1].start, window[0].start
    here = Contrast(whole.ink[window], whole.least[window], whole.light_on_dark, whole.noise)
    marks = binarise(here)
    ink = sharpen_marks(here.ink, marks, settings)
    count, _ = cv2.connectedComponents(ink, connectivity=8)
    shape = whole.ink.shape[0], whole.ink.shape[1]
    box = _box_of(ink)
    if count != 2 or box.longer < smallest:
        return None
    if _may_be_ruled(marks, ink, corner, shape):
        everywhere = np.zeros(shape, np.uint8)
        everywhere[window] = marks
        if clear_lines(whole.ink, everywhere, settings).lines:
            return None
    around = window_around(box)
    contrast, mask = here.ink[around], ink[around]
    digit = soft_ink(np.asarray(cv2.copyTo(contrast, marks[around]), dtype=np.float32), mask)
    placed = Box(box.left + corner[0], box.top + corner[1], box.right + corner[0], box.bottom + corner[1])
    size, scale = box.longer, original_scale(shape, page)
    faults = find_faults(contrast, here.least[around], mostly_ink(digit), size, scale)
    notes = ("cut_off",) * touches_edge(placed, shape) + ("too_small",) * is_illegible(size, scale)
    tile = make_tile(digit, settings)
    return Tiles(page.id, (to_original(placed, shape, page),), tile[np.newaxis], notes, faults=faults)


def _may_be_ruled(
    marks: NDArray[np.uint8], ink: NDArray[np.uint8], corner: tuple[int, int], shape: tuple[int, int]
) -> bool:
    """Tell whether lines may be found in the ink or in the fainter marks; one look at both mostly does for either."""
    both = np.asarray(cv2.addWeighted(ink, 0.5, marks, 0.5, 0), dtype=np.uint8)
    return not hold_none(both, corner, shape) and not all(hold_none(one, corner, shape) for one in (ink, marks))


def _box_of(mask: NDArray[np.uint8]) -> Box:
    left, top, width, height = cv2.boundingRect(mask)
    return Box(left, top, left + width, top + height)

"""The pipeline from page to tiles, every step kept for whoever wants to look."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from batchdigits.imaging.erase import drop_remains, mend_strokes, remove_lines
from batchdigits.imaging.ink import LIGHT_SIZE, binarise, measure_contrast, resize_to_work, sharpen_marks
from batchdigits.imaging.lines import Line, find_lines
from batchdigits.imaging.normalise import RIM, TILE, make_tile, soft_ink
from batchdigits.imaging.quality import find_faults, is_illegible
from batchdigits.imaging.ranks import percentile
from batchdigits.imaging.segment import Group, find_parts, group_parts, has_comparable, leave_out_loose
from batchdigits.imaging.settings import ImagingSettings
from batchdigits.types import Box, Page, Tiles, Variant

_MOSTLY_INK = 0.5  # of a stroke's darkness
_PALE = 0.6  # of the ink's darkness: a darker line would not fall to pieces
_PEN, _RIMS = np.ones((3, 3), np.uint8), np.ones((5, 5), np.uint8)
_MISSING = 0.03  # of the picture's shorter side: a ruling that is whole but for as little is found in the ink
_TIGHT = 0.8  # of the picture's sides: a digit that was cut out along its strokes takes as much


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """The digit in some ink. All maps are (h, w), at working size."""

    ink: NDArray[np.uint8]  #: 255 where there is ink
    groups: tuple[Group, ...]  #: best candidate first
    digit: NDArray[np.float32]  #: soft ink of the best candidate, 0 to 1
    tile: NDArray[np.float32]  #: (28, 28), 0 paper, 1 ink
    core: Found | None = None  #: the same without strokes that lie apart, if there are any


@dataclass(frozen=True, slots=True, eq=False)
class Steps:
    """Every step from a picture to its tile. All maps are (h, w), at working size."""

    work: NDArray[np.uint8]  #: (h, w, 3) BGR, the picture at working size
    light_on_dark: bool
    noise: float  #: of the paper, in grey levels
    contrast: NDArray[np.float32]  #: 0 paper, 1 ink
    least: NDArray[np.float32]  #: the contrast that noise alone does not reach
    marks: NDArray[np.uint8]  #: 255 where there may be ink
    lines: tuple[Line, ...]
    ink: NDArray[np.uint8]  #: 255 where there is ink, rulings removed
    groups: tuple[Group, ...]  #: best candidate first
    digit: NDArray[np.float32]  #: soft ink of the best candidate, 0 to 1
    tile: NDArray[np.float32]  #: (28, 28), 0 paper, 1 ink
    others: Mapping[Variant, Found]  #: what else the digit may be


def trace(pixels: NDArray[np.uint8], settings: ImagingSettings, *, light_size: int = LIGHT_SIZE) -> Steps:
    """Run the pipeline over one picture for the one digit in it.

    Parameters
    ----------
    pixels : (H, W, 3) ndarray of uint8
        BGR, upright, any size from 1 x 1.
    settings : ImagingSettings
        What the model was trained with.
    light_size : int
        See `measure_contrast`.

    Returns
    -------
    Steps
        With no groups, and an empty tile, for a picture without ink.
    """
    work = resize_to_work(pixels, settings)
    measured = measure_contrast(work, settings, light_size=light_size)
    contrast = measured.ink
    marks = binarise(measured)
    lines, left, ink, uncleared = clear_lines(contrast, marks, settings)
    found = _find(contrast, left, ink, settings)
    others: dict[Variant, Found] = {}
    if found.core:
        others[Variant.CORE] = found.core
    if lines:
        if not found.groups and (lone := _lone_upright(lines, ink.shape[0])):
            others |= _find_instead(lone, contrast, marks, lines, settings)
        elif _completes(with_lines := _find(contrast, marks, uncleared, settings), found):
            others[Variant.WITH_LINES] = with_lines
    return Steps(
        work,
        measured.light_on_dark,
        measured.noise,
        contrast,
        measured.least,
        marks,
        lines,
        found.ink,
        found.groups,
        found.digit,
        found.tile,
        others,
    )


def _lone_upright(lines: tuple[Line, ...], height: int) -> Line | None:
    """Return the line that may be a 1: the only one, or one from the top of a box to its bottom."""
    upright = sorted((line for line in lines if line.vertical), key=lambda line: line.middle)
    if len(upright) == len(lines) == 1:
        return upright[0]
    within = len(upright) == 3 and upright[1].start > 1 and upright[1].stop < height - 1
    return upright[1] if within else None


def _find_instead(
    line: Line,
    contrast: NDArray[np.float32],
    marks: NDArray[np.uint8],
    lines: tuple[Line, ...],
    settings: ImagingSettings,
) -> dict[Variant, Found]:
    """Find what a line is if it is none."""
    left = remove_lines(marks, tuple(other for other in lines if other is not line))
    found = _find(contrast, left, sharpen_marks(contrast, left, settings), settings)
    return {Variant.WITH_LINES: found} if found.groups else {}


def _completes(more: Found, less: Found) -> bool:
    """Tell whether one digit is the other with strokes added, so that it fills the picture.

    A box around a digit is not the same digit, if they do not touch; and where a digit stands on a ruling of a larger
    picture, the two fill it in one direction only. Without another digit, all of this one may have been removed.
    """
    if not more.groups:
        return False
    box, (height, width) = more.groups[0].box, more.ink.shape
    fills = bool(box.width > _TIGHT * width and box.height > _TIGHT * height)
    if not less.groups or not fills:
        return fills
    ink = less.digit > _MOSTLY_INK
    return box != less.groups[0].box and float(np.mean(more.digit[ink] > _MOSTLY_INK)) > 0.9


def _find(
    contrast: NDArray[np.float32], marks: NDArray[np.uint8], ink: NDArray[np.uint8], settings: ImagingSettings
) -> Found:
    """Find the digit in some of the ink."""
    labels, parts = find_parts(ink, contrast)
    groups = tuple(group_parts(parts, labels, settings))
    if not groups:
        return Found(ink, groups, np.zeros_like(contrast), np.zeros((TILE, TILE), np.float32))

    def cut(group: Group) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        digit, around = np.zeros_like(contrast), window_around(group.box)
        digit[around] = cut_out(contrast[around], marks[around], ink[around], group.mask(labels[around]))
        return digit, make_tile(digit[around], settings)

    core = leave_out_loose(groups[0], parts, labels)
    without = Found(ink, (core, *groups[1:]), *cut(core)) if core else None
    return Found(ink, groups, *cut(groups[0]), without)


def window_around(box: Box) -> tuple[slice, slice]:
    """Return where a box and the soft rim of what is in it lie."""
    return (
        slice(max(0, box.top - RIM), box.bottom + RIM),
        slice(max(0, box.left - RIM), box.right + RIM),
    )


def cut_out(
    contrast: NDArray[np.float32], marks: NDArray[np.uint8], ink: NDArray[np.uint8], mask: NDArray[np.uint8]
) -> NDArray[np.float32]:
    """Return the soft ink of a digit, given its mask, among the ink and the fainter marks around it."""
    # what is no mark is the paper's noise, or was a line: its soft rim must not come back with the digit's own
    kept = np.asarray(cv2.copyTo(contrast, cv2.bitwise_or(marks, mask)), dtype=np.float32)
    return soft_ink(kept, mask, np.asarray(cv2.bitwise_and(ink, cv2.bitwise_not(mask)), dtype=np.uint8))


def mostly_ink(digit: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return where some soft ink is rather ink than paper: 1, else 0."""
    return (digit > _MOSTLY_INK).astype(np.uint8)


class Cleared(NamedTuple):
    """What `clear_lines` finds."""

    lines: tuple[Line, ...]
    marks: NDArray[np.uint8]  #: 255 where there may be ink, rulings removed
    ink: NDArray[np.uint8]  #: 255 where there is ink, rulings removed
    uncleared: NDArray[np.uint8]  #: the ink with the rulings


def clear_lines(contrast: NDArray[np.float32], marks: NDArray[np.uint8], settings: ImagingSettings) -> Cleared:
    """Find and remove rulings until there are no more.

    A pale ruling that is joined to something bolder shows only once that is gone.
    """
    lines: tuple[Line, ...] = ()
    ink = uncleared = sharpen_marks(contrast, marks, settings)
    for _ in range(3):
        found = find_lines(ink, lines, contrast) or _find_pale(contrast, marks, ink, lines)
        if not found:
            break
        lines += found
        marks = remove_lines(marks, found)
        ink = sharpen_marks(contrast, marks, settings)
    return Cleared(lines, marks, drop_remains(mend_strokes(ink, uncleared, lines), lines), uncleared)


def touches_edge(box: Box, shape: tuple[int, ...]) -> bool:
    """Tell whether ink runs to the picture's edge: some of it may lie outside."""
    return box.left == 0 or box.top == 0 or box.right == shape[1] or box.bottom == shape[0]


def find_digit(page: Page, settings: ImagingSettings) -> Tiles:
    """Find the one digit of a page.

    Returns
    -------
    Tiles
        One tile, or none for a page without ink: a normal answer, not an error. Others show what the digit is if some
        strokes are not its own, or if the rulings that were removed are: see `Variant`.
    """
    return tiles_of(trace(page.pixels, settings), page)


def tiles_of(steps: Steps, page: Page) -> Tiles:
    """Return what `find_digit` does, from the steps of the page."""
    found: dict[Variant, Steps | Found] = {Variant.WHOLE: steps} if steps.groups else {}
    found |= steps.others
    if not found:
        return Tiles(page.id, (), np.zeros((0, TILE, TILE), np.float32))
    boxes = tuple(to_original(one.groups[0].box, steps.work.shape, page) for one in found.values())
    first = next(iter(found.values()))
    around = window_around(first.groups[0].box)
    mask = mostly_ink(first.digit[around])
    size, scale = first.groups[0].box.longer, original_scale(steps.work.shape, page)
    faults = find_faults(steps.contrast[around], steps.least[around], mask, size, scale)
    small = ("too_small",) * is_illegible(size, scale)
    notes, *other_notes = (_doubts(variant, one) + small for variant, one in found.items())
    return Tiles(
        page.id,
        boxes,
        np.stack([one.tile for one in found.values()]),
        notes,
        faults=faults,
        variants=tuple(found),
        other_notes=tuple(other_notes),
        unless_blank="" if steps.groups else "cut_off",
    )


def _doubts(variant: Variant, found: Steps | Found) -> tuple[str, ...]:
    """Return what is in doubt of a candidate: ``cut_off``, ``several_digits``."""
    cut_off = variant is Variant.WITH_LINES or touches_edge(found.groups[0].box, found.ink.shape)
    return ("cut_off",) * cut_off + ("several_digits",) * has_comparable(found.groups)


def _find_pale(
    contrast: NDArray[np.float32], marks: NDArray[np.uint8], ink: NDArray[np.uint8], known: tuple[Line, ...]
) -> tuple[Line, ...]:
    """Find rulings that fall to pieces in the ink, where bold digits on them set the threshold."""
    if not ink.any():
        return ()
    strokes = cv2.morphologyEx(ink, cv2.MORPH_OPEN, _PEN)  # what is left of a ruling in the ink is thinner
    beyond = cv2.subtract(marks, cv2.dilate(strokes, _RIMS))
    if cv2.countNonZero(beyond) < _MISSING * min(ink.shape):
        return ()
    lines = find_lines(marks, known, contrast)
    bold = percentile(contrast[ink > 0], 75) if lines else 0.0
    return tuple(line for line in lines if line.level < _PALE * bold)


def original_scale(work_shape: tuple[int, ...], page: Page) -> float:
    """Return how many of the upright original's pixels make one at working size."""
    return float(page.pixels.shape[0] / work_shape[0] * page.scale[1])


def to_original(box: Box, work_shape: tuple[int, ...], page: Page) -> Box:
    """Translate a box at working size into the upright original's pixels, rounded outwards."""
    factor_x = page.pixels.shape[1] / work_shape[1] * page.scale[0]
    factor_y = original_scale(work_shape, page)
    # to a millionth first: 480 * (481 / 480) is a hair above 481, which would round to a pixel outside the page
    return Box(
        math.floor(round(box.left * factor_x + page.origin[0], 6)),
        math.floor(round(box.top * factor_y + page.origin[1], 6)),
        math.ceil(round(box.right * factor_x + page.origin[0], 6)),
        math.ceil(round(box.bottom * factor_y + page.origin[1], 6)),
    )

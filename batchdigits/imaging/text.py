"""Numbers and whole pages: lines of writing, and all that might be a digit in them.

Nothing is decided here. Every line is cut into pieces, marks that are wide enough also where two digits may touch; one
piece or a few neighbours make a candidate, and each candidate a tile. What the classifier makes of them then tells
which candidates are the digits: recognition-based segmentation (Casey and Lecolinet, 1996).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import pairwise
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from batchdigits.imaging.cuts import find_cuts
from batchdigits.imaging.ink import binarise, measure_contrast, resize_to_work
from batchdigits.imaging.lines import Line
from batchdigits.imaging.normalise import TILE, make_tile, soft_ink
from batchdigits.imaging.pipeline import clear_lines, to_original
from batchdigits.imaging.rows import find_rows
from batchdigits.imaging.segment import Part, find_parts, is_rim, is_stroke
from batchdigits.imaging.settings import ImagingSettings
from batchdigits.types import Arrangement, Box, Layout, Page, Span, Stain, TextLine, Tiles

FINER = 2
"""The working size, as a multiple of that for one digit: digits are a small part of a page."""

_SMALLEST, _LARGEST = 0.12, 6.0  # of a digit's size: what is smaller is dirt, what is larger no writing
_PALEST = 0.4  # of the usual ink
_MOST = 6  # pieces in a candidate
_BRIDGE = 0.5  # of a stroke's width, on both sides of a gap
_SMALL, _SMALL_STAIN, _LARGE_STAIN = 0.45, 0.3, 0.05  # a mark smaller than that share of a digit is often a stain
_CUT = 0.1  # the share of valleys in a mark where one digit ends and another begins
_SIDE_BY_SIDE = 0.1  # the share of marks beside each other that are one digit
_FRAGMENT, _FRAGMENTS = 0.7, 0.4  # the same, if one is lower than that share of a digit
_STACKED = 0.7  # the share of marks one above the other that are one digit
_SPREAD = 0.35  # of the logarithm of a digit's size
_GAP, _WIDEST, _TALLEST = 0.25, 1.6, 2.0  # of a digit's size, within a candidate


@dataclass(frozen=True, slots=True, eq=False)
class TextSteps:
    """Every step from a picture to its candidates. All maps are (h, w), at working size."""

    work: NDArray[np.uint8]  #: (h, w, 3) BGR
    contrast: NDArray[np.float32]  #: 0 paper, 1 ink
    marks: NDArray[np.uint8]  #: 255 where there may be ink
    lines: tuple[Line, ...]  #: rulings and borders that were removed
    ink: NDArray[np.uint8]  #: 255 where there is ink
    boxes: tuple[Box, ...]  #: of the candidates, in the picture at working size, as it lies
    tiles: NDArray[np.float32]  #: (N, 28, 28), 0 paper, 1 ink
    arrangements: tuple[Arrangement, ...]
    notes: tuple[str, ...]


class _Piece(NamedTuple):
    """A part, or what two cuts leave of one."""

    mark: int  # parts so close that one stroke may have drawn them are one mark
    label: int
    box: Box


def find_text(page: Page, settings: ImagingSettings, layout: Layout) -> Tiles:
    """Find all that might be a digit on a page.

    Parameters
    ----------
    page : Page
        Any picture.
    settings : ImagingSettings
        What the model was trained with.
    layout : Layout
        ``NUMBER`` or ``PAGE``. A page may lie on its side or upside down: all four arrangements are offered.

    Returns
    -------
    Tiles
        With arrangements, or without any for a page without ink.
    """
    return text_tiles_of(trace_text(page.pixels, settings, layout), page, layout)


def text_tiles_of(steps: TextSteps, page: Page, layout: Layout) -> Tiles:
    """Return what `find_text` does, from the steps of the page."""
    boxes = tuple(to_original(box, steps.work.shape, page) for box in steps.boxes)
    return Tiles(page.id, boxes, steps.tiles, steps.notes, layout, steps.arrangements)


def trace_text(pixels: NDArray[np.uint8], settings: ImagingSettings, layout: Layout) -> TextSteps:
    """Do what `find_text` does, and keep every step.

    Parameters
    ----------
    pixels : (H, W, 3) ndarray of uint8
        BGR.
    settings, layout
        See `find_text`.
    """
    work = resize_to_work(pixels, settings, finer=FINER)
    measured = measure_contrast(work, settings)
    marks = binarise(measured)
    lines, ink = clear_lines(measured.ink, marks, settings)
    labels, parts = find_parts(ink, measured.ink)
    writing, size = _writing(parts, ink.shape)
    marks_of = _join(writing, labels)
    boxes: list[Box] = []
    tiles: list[NDArray[np.float32]] = []
    arrangements = []
    for turns in range(4 if layout is Layout.PAGE else 1):
        sheet = _Sheet(np.rot90(measured.ink, turns), np.rot90(labels, turns), np.rot90(marks, turns), size)
        pieces = [
            _Piece(mark, part.label, _turned(part.box, turns, ink.shape))
            for mark, part in zip(marks_of, writing, strict=True)
        ]
        text = []
        for row in _rows(pieces, size):
            units = sheet.cut(row)
            spans = []
            for start, stop, box in _candidates(units, size):
                prior = _prior(units, start, stop, size) * _size_prior(box, size)
                spans.append(Span(start, stop, len(tiles), prior))
                boxes.append(_turned(box, -turns % 4, sheet.labels.shape))
                tiles.append(sheet.tile(units[start:stop], box, settings))
            text.append(TextLine(len(units), tuple(spans), tuple(_stains(units, size))))
        if text:
            arrangements.append(Arrangement(turns, tuple(text)))
    stacked = np.stack(tiles) if tiles else np.zeros((0, TILE, TILE), np.float32)
    notes = ("cut_off",) * any(any(part.edges) for part in writing)
    return TextSteps(work, measured.ink, marks, lines, ink, tuple(boxes), stacked, tuple(arrangements), notes)


def _writing(parts: Sequence[Part], shape: tuple[int, ...]) -> tuple[list[Part], float]:
    """Return the parts that may be digits or pieces of them, and the size of a digit: a median by mass."""
    inner = [part for part in parts if not is_rim(part, *shape)]
    strokes = [part for part in inner if is_stroke(part)] or inner
    if not strokes:
        return [], 0.0
    sizes = np.array([max(part.box.width, part.box.height) for part in strokes])
    order = np.argsort(sizes, kind="stable")
    mass = np.cumsum([strokes[number].mass for number in order])
    size = float(sizes[order][np.searchsorted(mass, mass[-1] / 2)])
    least = _PALEST * float(np.median([part.level for part in strokes]))

    def fits(part: Part) -> bool:
        return _SMALLEST * size <= max(part.box.width, part.box.height) < _LARGEST * size and part.level > least

    return [part for part in inner if fits(part)], size


def _turned(box: Box, turns: int, shape: tuple[int, ...]) -> Box:
    """Return where a box is after quarter turns counter-clockwise of a picture of that shape."""
    height, width = shape[:2]
    for _ in range(turns):
        box = Box(box.top, width - box.right, box.bottom, width - box.left)
        height, width = width, height
    return box


@dataclass(frozen=True, slots=True, eq=False)
class _Sheet:
    """The maps of a page, held one way up."""

    contrast: NDArray[np.float32]
    labels: NDArray[np.int32]
    marks: NDArray[np.uint8]
    size: float  # of a digit

    def cut(self, pieces: Sequence[_Piece]) -> list[_Piece]:
        """Cut pieces where two digits may touch; return all of them from left to right."""
        units = []
        for mark, label, box in pieces:
            mask = (self.labels[box.top : box.bottom, box.left : box.right] == label).astype(np.uint8)
            ends = [box.left, *(box.left + x for x in find_cuts(mask, self.size)), box.right]
            units += [_Piece(mark, label, Box(x, box.top, end, box.bottom)) for x, end in pairwise(ends)]
        return sorted(units, key=lambda unit: unit.box.left + unit.box.right)

    def tile(self, units: Sequence[_Piece], box: Box, settings: ImagingSettings) -> NDArray[np.float32]:
        """Make the tile of some pieces, whose box is given."""
        top, left = max(0, box.top - 1), max(0, box.left - 1)
        around = np.s_[top : box.bottom + 1, left : box.right + 1]
        labels = self.labels[around]
        mask = np.zeros(labels.shape, np.uint8)
        for _, label, own in units:
            inside = np.s_[own.top - top : own.bottom - top, own.left - left : own.right - left]
            mask[inside][labels[inside] == label] = 255
        # a neighbour's or a line's soft rim must not come with the digit's own
        others = (mask == 0) & (self.marks[around] > 0)
        return make_tile(soft_ink(np.where(others, np.float32(0), self.contrast[around]), mask), settings)


def _candidates(units: Sequence[_Piece], size: float) -> list[tuple[int, int, Box]]:
    """Return every run of pieces that may be one digit: first, one past the last, box."""
    found = []
    for start in range(len(units)):
        box = units[start].box
        for stop in range(start + 1, min(len(units), start + _MOST) + 1):
            following = units[stop - 1].box
            if following.left - box.right > _GAP * size:
                break
            box = box.union(following)
            if stop == start + 1 or (box.width <= _WIDEST * size and box.height <= _TALLEST * size):
                found.append((start, stop, box))
    return found


def _prior(units: Sequence[_Piece], start: int, stop: int, size: float) -> float:
    """Return how likely pieces are one digit by how they lie."""
    prior = _CUT if start and units[start - 1].mark == units[start].mark else 1.0
    box = units[start].box
    for before, unit in zip(units[start : stop - 1], units[start + 1 : stop], strict=True):
        if before.mark != unit.mark:
            shared = min(box.right, unit.box.right) - max(box.left, unit.box.left)
            if shared >= 0.5 * min(box.width, unit.box.width):
                prior *= _STACKED
            else:
                fragment = min(box.height, unit.box.height) < _FRAGMENT * size
                prior *= _FRAGMENTS if fragment else _SIDE_BY_SIDE
        box = box.union(unit.box)
    return prior


def _stains(units: Sequence[_Piece], size: float) -> Iterator[Stain]:
    """Return the marks of a line, each whole, as what may be a stain; a digit is seldom joined to one."""
    start = 0
    for stop in range(1, len(units) + 1):
        if stop == len(units) or units[stop].mark != units[start].mark:
            box = units[start].box
            for unit in units[start + 1 : stop]:
                box = box.union(unit.box)
            small = max(box.width, box.height) < _SMALL * size
            yield Stain(start, stop, _SMALL_STAIN if small else _LARGE_STAIN)
            start = stop


def _rows(pieces: Sequence[_Piece], size: float) -> list[list[_Piece]]:
    """Sort pieces into lines, whole marks at a time."""
    marks: dict[int, list[_Piece]] = {}
    for piece in pieces:
        marks.setdefault(piece.mark, []).append(piece)
    boxes = [reduce(Box.union, (piece.box for piece in mark)) for mark in marks.values()]
    whole = list(marks.values())
    return [[piece for number in row for piece in whole[number]] for row in find_rows(boxes, size)]


def _join(parts: Sequence[Part], labels: NDArray[np.int32]) -> list[int]:
    """Return the mark that each part belongs to: gaps narrower than a stroke are bridged."""
    if not parts:
        return []
    reach = 1 + round(_BRIDGE * float(np.median([part.thickness for part in parts])))
    ink = np.isin(labels, [part.label for part in parts]).astype(np.uint8)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach - 1, 2 * reach - 1))
    _, joined = cv2.connectedComponents(cv2.dilate(ink, disc), connectivity=8)
    marks = []
    for part in parts:
        box = part.box
        around = np.s_[box.top : box.bottom, box.left : box.right]
        marks.append(int(joined[around][labels[around] == part.label][0]))
    return marks


def _size_prior(box: Box, size: float) -> float:
    """Return how likely a digit is to be so large, beside one of the usual size."""
    ratio = math.log(max(box.width, box.height) / size) / _SPREAD
    return max(1e-3, math.exp(-ratio * ratio / 2))

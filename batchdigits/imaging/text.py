"""Numbers and whole pages: lines of writing, and all that might be a digit in them.

Nothing is decided here. Every line is cut into pieces, marks that are wide enough also where two digits may touch; one
piece or a few neighbours make a candidate, and each candidate a tile. What the classifier makes of them then tells
which candidates are the digits: recognition-based segmentation (Casey and Lecolinet, 1996).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from batchdigits.imaging.cuts import NARROWEST, find_cuts
from batchdigits.imaging.ink import binarise, measure_contrast, resize_to_work
from batchdigits.imaging.lattice import Piece, box_around, find_candidates, find_stains
from batchdigits.imaging.lines import Line
from batchdigits.imaging.normalise import TILE, make_tile
from batchdigits.imaging.pipeline import clear_lines, cut_out, original_scale, to_original, window_around
from batchdigits.imaging.quality import find_faults, is_illegible
from batchdigits.imaging.rows import find_rows
from batchdigits.imaging.segment import Part, find_parts, is_rim, is_stroke, is_tiny
from batchdigits.imaging.settings import ImagingSettings
from batchdigits.imaging.signs import without_signs
from batchdigits.types import Arrangement, Box, Layout, Page, Span, TextLine, Tiles

FINER = 2
"""The usual working size, as a multiple of that for one digit: digits are a small part of a page."""

_Key = tuple[int, frozenset[tuple[int, Box]]]

_SMALLEST, _LARGEST = 0.12, 6.0  # of a digit's size: what is smaller is dirt, what is larger no writing
_PALEST = 0.4  # of the usual ink
_MOST_PARTS = 500  # heaviest first: pages of handwritten digits have fewer, printed text and textures any number
_COMPACT, _GROWTH = 2.5, 1.6  # a mark no longer for its breadth, or for its largest part, may be one digit,
_HALF = 0.6  # unless its second part is longer than that share of it
_ONE_DIGIT, _COMPLETE = 1.3, 0.7  # of a digit's size: no digit is larger, and none has two parts so large
_BRIDGE = 0.5  # of a stroke's width, on both sides of a gap


@dataclass(frozen=True, slots=True, eq=False)
class TextSteps:
    """Every step from a picture to its candidates. All maps are (h, w), at working size."""

    work: NDArray[np.uint8]  #: (h, w, 3) BGR
    contrast: NDArray[np.float32]  #: 0 paper, 1 ink
    least: NDArray[np.float32]  #: the contrast that noise alone does not reach
    size: float  #: of a digit, pixels; 0 without ink
    marks: NDArray[np.uint8]  #: 255 where there may be ink
    lines: tuple[Line, ...]  #: rulings and borders that were removed
    ink: NDArray[np.uint8]  #: 255 where there is ink
    candidates: tuple[_Candidate, ...]
    boxes: tuple[Box, ...]  #: of the candidates, in the picture at working size, as it lies
    arrangements: tuple[Arrangement, ...]
    notes: tuple[str, ...]

    @property
    def pieces(self) -> int:
        """How many there are, all ways up together."""
        return sum(line.pieces for held in self.arrangements for line in held.lines)


def find_text(page: Page, settings: ImagingSettings, layout: Layout, *, finer: int = FINER) -> Tiles:
    """Find all that might be a digit on a page.

    Parameters
    ----------
    page : Page
        Any picture.
    settings : ImagingSettings
        What the model was trained with.
    layout : Layout
        ``NUMBER`` or ``PAGE``. A page may lie on its side or upside down: all four arrangements are offered.
    finer : int
        The working size, as a multiple of that for one digit.

    Returns
    -------
    Tiles
        With arrangements, or without any for a page without ink.
    """
    return text_tiles_of(trace_text(page.pixels, settings, layout, finer=finer), page, settings, layout)


def text_tiles_of(steps: TextSteps, page: Page, settings: ImagingSettings, layout: Layout) -> Tiles:
    """Return what `find_text` does, from the steps of the page."""
    boxes = tuple(to_original(box, steps.work.shape, page) for box in steps.boxes)
    scale = original_scale(steps.work.shape, page)
    faults = find_faults(steps.contrast, steps.least, steps.ink, steps.size, scale)
    notes = steps.notes + ("too_small",) * (bool(boxes) and is_illegible(steps.size, scale))
    return Tiles(page.id, boxes, _tiles(steps.candidates, settings), notes, layout, steps.arrangements, faults)


def _tiles(candidates: Sequence[_Candidate], settings: ImagingSettings) -> NDArray[np.float32]:
    """Make the tiles of candidates: (N, 28, 28)."""
    tiles = np.zeros((len(candidates), TILE, TILE), np.float32)
    made: dict[_Key, int] = {}
    for number, candidate in enumerate(candidates):
        before = made.setdefault(candidate.other_way_up(), number)
        made.setdefault(candidate.this_way_up(), number)
        # upside down, a digit is deskewed and centred by the same moments
        tiles[number] = tiles[before][::-1, ::-1] if before != number else candidate.tile(settings)
    return tiles


def trace_text(
    pixels: NDArray[np.uint8], settings: ImagingSettings, layout: Layout, *, finer: int = FINER
) -> TextSteps:
    """Do what `find_text` does, and keep every step.

    Parameters
    ----------
    pixels : (H, W, 3) ndarray of uint8
        BGR.
    settings, layout, finer
        See `find_text`.
    """
    work = resize_to_work(pixels, settings, finer=finer)
    measured = measure_contrast(work, settings)
    marks = binarise(measured)
    lines, left, ink, _ = clear_lines(measured.ink, marks, settings)
    labels, parts = find_parts(ink, measured.ink)
    found, size = _writing(parts, ink.shape)
    writing = found[:_MOST_PARTS]
    labels, whole, size = _assemble(writing, labels, size)
    if not any(map(is_stroke, writing)) and all(is_tiny(piece.box, ink.shape) for piece in whole):
        whole = []  # dust, or dotted paper
    boxes: list[Box] = []
    candidates: list[_Candidate] = []
    arrangements = []
    for turns in range(4 if layout is Layout.PAGE else 1):
        contrast, held = np.rot90(measured.ink, turns), np.rot90(labels, turns)
        sheet = _Sheet(contrast, held, np.rot90(left, turns), np.rot90(ink, turns), size, turns)
        pieces = [piece._replace(box=_turned(piece.box, turns, ink.shape)) for piece in whole]
        text = []
        for row in _rows(pieces, size):
            unsigned = without_signs(row, sheet.labels, size)
            units = sheet.cut(unsigned.pieces)
            spans = []
            for start, stop, box, prior in find_candidates(units, size):
                spans.append(Span(start, stop, len(candidates), prior))
                boxes.append(_turned(box, -turns % 4, sheet.labels.shape))
                candidates.append(_Candidate(sheet, tuple(units[start:stop]), box))
            stains = find_stains(units, size, unsigned.slashes)
            text.append(TextLine(len(units), tuple(spans), tuple(stains)))
        if text:
            arrangements.append(Arrangement(turns, tuple(text)))
    notes = ("too_many_marks",) * (len(found) > _MOST_PARTS) + ("cut_off",) * any(any(p.edges) for p in writing)
    return TextSteps(
        work,
        measured.ink,
        measured.least,
        size,
        marks,
        lines,
        ink,
        tuple(candidates),
        tuple(boxes),
        tuple(arrangements),
        notes,
    )


def _writing(parts: Sequence[Part], shape: tuple[int, ...]) -> tuple[list[Part], float]:
    """Return the parts that may be digits or pieces of them, and the size of a digit: a median by mass."""
    inner = [part for part in parts if not is_rim(part, *shape)]
    strokes = [part for part in inner if is_stroke(part)] or inner
    if not strokes:
        return [], 0.0
    size = _usual_size([part.box for part in strokes], [part.mass for part in strokes])
    least = _PALEST * float(np.median([part.level for part in strokes]))

    def fits(part: Part) -> bool:
        return _SMALLEST * size <= part.box.longer < _LARGEST * size and part.level > least

    return [part for part in inner if fits(part)], size


def _usual_size(boxes: Sequence[Box], masses: Sequence[float]) -> float:
    sizes = np.array([box.longer for box in boxes])
    order = np.argsort(sizes, kind="stable")
    mass = np.cumsum(np.array(masses)[order])
    return float(sizes[order][np.searchsorted(mass, mass[-1] / 2)])


def _assemble(
    parts: Sequence[Part], labels: NDArray[np.int32], size: float
) -> tuple[NDArray[np.int32], list[Piece], float]:
    """Turn parts into pieces; what a broken pen left of one digit becomes one piece, with one label.

    Returns the labels, the pieces, and the size of a digit, which parts of digits may have made too small.
    """
    by_mark: dict[int, list[Part]] = {}
    for mark, part in zip(_join(parts, labels), parts, strict=True):
        by_mark.setdefault(mark, []).append(part)

    def compact(members: Sequence[Part]) -> bool:
        box, *sizes = box_around(members), *sorted(part.box.longer for part in members)
        alone = len(sizes) == 1 or sizes[-2] <= _HALF * box.longer
        return alone and box.longer <= min(_COMPACT * box.shorter, _GROWTH * sizes[-1])

    def one_digit(members: Sequence[Part]) -> bool:
        box = box_around(members)
        complete = sum(part.box.longer > _COMPLETE * size for part in members)
        return box.shorter <= NARROWEST * size and box.longer <= _ONE_DIGIT * size and complete < 2

    if parts:
        digits = _regroup(by_mark.values(), compact)
        size = max(
            size, _usual_size([box_around(group) for group in digits], [sum(p.mass for p in group) for group in digits])
        )
    same = np.arange(int(labels.max(initial=0)) + 1, dtype=np.int32)
    mark_of = {part.label: mark for mark, members in by_mark.items() for part in members}
    pieces = []
    for group in _regroup(by_mark.values(), one_digit):
        label = group[0].label
        same[[part.label for part in group]] = label
        pieces.append(Piece(mark_of[label], label, box_around(group)))
    return same[labels], pieces, size


def _regroup(marks: Iterable[list[Part]], whole: Callable[[Sequence[Part]], bool]) -> list[list[Part]]:
    """Keep together the parts of those marks for which `whole` holds, and set the others apart."""
    return [group for mark in marks for group in ([mark] if whole(mark) else [[part] for part in mark])]


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
    ink: NDArray[np.uint8]
    size: float  # of a digit
    turns: int  # counter-clockwise, by quarters

    def cut(self, pieces: Sequence[Piece]) -> list[Piece]:
        """Cut pieces where two digits may touch; return all of them from left to right."""
        units = []
        for mark, label, box in pieces:
            mask = (self.labels[box.top : box.bottom, box.left : box.right] == label).astype(np.uint8)
            ends = [box.left, *(box.left + x for x in find_cuts(mask, self.size)), box.right]
            units += [Piece(mark, label, Box(x, box.top, end, box.bottom)) for x, end in pairwise(ends)]
        return sorted(units, key=lambda unit: unit.box.left + unit.box.right)


@dataclass(frozen=True, slots=True, eq=False)
class _Candidate:
    """Neighbouring pieces that may be one digit."""

    sheet: _Sheet
    units: tuple[Piece, ...]
    box: Box  # around them, on the sheet

    def tile(self, settings: ImagingSettings) -> NDArray[np.float32]:
        """Make its tile."""
        around, sheet = window_around(self.box), self.sheet
        top, left = around[0].start, around[1].start
        # a sheet on its side is a view that OpenCV would copy at every step
        contrast, labels = np.ascontiguousarray(sheet.contrast[around]), np.ascontiguousarray(sheet.labels[around])
        marks, ink = np.ascontiguousarray(sheet.marks[around]), np.ascontiguousarray(sheet.ink[around])
        mask = np.zeros(labels.shape, np.uint8)
        for _, label, own in self.units:
            inside = np.s_[own.top - top : own.bottom - top, own.left - left : own.right - left]
            mask[inside][labels[inside] == label] = 255
        return make_tile(cut_out(contrast, marks, ink, mask), settings)

    def this_way_up(self) -> _Key:
        """Return what tells its ink, and how it is held, from others."""
        return self.sheet.turns, frozenset((label, box) for _, label, box in self.units)

    def other_way_up(self) -> _Key:
        """Return the same of this ink held upside down."""
        shape = self.sheet.labels.shape
        return (self.sheet.turns + 2) % 4, frozenset((label, _turned(box, 2, shape)) for _, label, box in self.units)


def _rows(pieces: Sequence[Piece], size: float) -> list[list[Piece]]:
    """Sort pieces into lines, whole marks at a time."""
    marks: dict[int, list[Piece]] = {}
    for piece in pieces:
        marks.setdefault(piece.mark, []).append(piece)
    whole = list(marks.values())
    rows = find_rows([box_around(mark) for mark in whole], size)
    return [[piece for number in row for piece in whole[number]] for row in rows]


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

"""Numbers and whole pages: lines of writing, and all that might be a digit in them.

Nothing is decided here. Every line is cut into pieces, marks that are wide enough also where two digits may touch; one
piece or a few neighbours make a candidate, and each candidate a tile. What the classifier makes of them then tells
which candidates are the digits: recognition-based segmentation (Casey and Lecolinet, 1996).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from batchdigits.imaging.cuts import find_cuts
from batchdigits.imaging.lattice import Piece, box_around, find_candidates, find_stains
from batchdigits.imaging.normalise import TILE, make_tile
from batchdigits.imaging.pipeline import cut_out, original_scale, to_original, window_around
from batchdigits.imaging.quality import find_faults, is_illegible
from batchdigits.imaging.rows import find_rows
from batchdigits.imaging.settings import ImagingSettings
from batchdigits.imaging.signs import without_signs
from batchdigits.imaging.writing import FINER, Writing, find_writing
from batchdigits.types import Arrangement, Box, Layout, Page, Span, TextLine, Tiles

EVERY_WAY_UP = (0, 1, 2, 3)
"""Quarter turns counter-clockwise."""

_Key = tuple[int, frozenset[tuple[int, Box]]]


@dataclass(frozen=True, slots=True, eq=False)
class TextSteps:
    """Every step from a picture to its candidates."""

    writing: Writing
    candidates: tuple[_Candidate, ...]
    boxes: tuple[Box, ...]  #: of the candidates, in the picture at working size, as it lies
    arrangements: tuple[Arrangement, ...]


def find_text(page: Page, settings: ImagingSettings, layout: Layout, *, finer: float = FINER) -> Tiles:
    """Find all that might be a digit on a page.

    Parameters
    ----------
    page : Page
        Any picture.
    settings : ImagingSettings
        What the model was trained with.
    layout : Layout
        ``NUMBER`` or ``PAGE``. A page may lie on its side or upside down: all four arrangements are offered.
    finer : float
        The working size, as a multiple of that for one digit.

    Returns
    -------
    Tiles
        With arrangements, or without any for a page without ink.
    """
    return text_tiles_of(trace_text(page.pixels, settings, layout, finer=finer), page, TileMaker(settings), layout)


def text_tiles_of(steps: TextSteps, page: Page, make_tiles: TileMaker, layout: Layout) -> Tiles:
    """Return what `find_text` does, from the steps of the page."""
    writing = steps.writing
    boxes = tuple(to_original(box, writing.work.shape, page) for box in steps.boxes)
    scale = original_scale(writing.work.shape, page)
    faults = find_faults(writing.contrast, writing.least, writing.ink, writing.size, scale)
    notes = writing.notes + ("too_small",) * (bool(boxes) and is_illegible(writing.size, scale))
    return Tiles(page.id, boxes, make_tiles(steps.candidates), notes, layout, steps.arrangements, faults)


class TileMaker:
    """Makes the tiles of a page's candidates, and none of them twice.

    Parameters
    ----------
    settings : ImagingSettings
        What the model was trained with.
    """

    def __init__(self, settings: ImagingSettings) -> None:
        self._settings = settings
        self._made: dict[_Key, NDArray[np.float32]] = {}

    def __call__(self, candidates: Sequence[_Candidate]) -> NDArray[np.float32]:
        """Return the tiles of candidates of one page, (N, 28, 28): 0 paper, 1 ink."""
        tiles = np.zeros((len(candidates), TILE, TILE), np.float32)
        for tile, candidate in zip(tiles, candidates, strict=True):
            tile[...] = self._make(candidate)
        return tiles

    def _make(self, candidate: _Candidate) -> NDArray[np.float32]:
        key = candidate.this_way_up()
        if key not in self._made:
            turned = self._made.get(candidate.other_way_up())
            # upside down, a digit is deskewed and centred by the same moments
            self._made[key] = candidate.tile(self._settings) if turned is None else turned[::-1, ::-1]
        return self._made[key]


def trace_text(
    pixels: NDArray[np.uint8], settings: ImagingSettings, layout: Layout, *, finer: float = FINER
) -> TextSteps:
    """Do what `find_text` does, and keep every step.

    Parameters
    ----------
    pixels : (H, W, 3) ndarray of uint8
        BGR.
    settings, layout, finer
        See `find_text`.
    """
    return arrange(find_writing(pixels, settings, finer=finer), ways_up(layout))


def ways_up(layout: Layout) -> tuple[int, ...]:
    """Return how a picture may lie, before anything is known of it."""
    return EVERY_WAY_UP if layout is Layout.PAGE else (0,)


def arrange(writing: Writing, ways_up: Sequence[int]) -> TextSteps:
    """Find the lines of a page, and all that might be a digit in them.

    Parameters
    ----------
    writing : Writing
        What is written on the page.
    ways_up : sequence of int
        Quarter turns counter-clockwise: how the page is to be held. Each way up gives an arrangement, in that order.
    """
    size = writing.size
    boxes: list[Box] = []
    candidates: list[_Candidate] = []
    arrangements = []
    for turns in ways_up:
        sheet = _hold(writing, turns)
        text = []
        for row in _rows(sheet.pieces, size):
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
    return TextSteps(writing, tuple(candidates), tuple(boxes), tuple(arrangements))


def tiles_held(
    writing: Writing, pieces: Sequence[Piece], ways_up: Sequence[int], make_tiles: TileMaker
) -> NDArray[np.float32]:
    """Make tiles of some pieces, each alone, as they are with the page held some ways up.

    Returns
    -------
    (W, N, 28, 28) ndarray of float32
        N pieces for each of W ways up; 0 paper, 1 ink.
    """
    candidates = []
    for turns in ways_up:
        sheet = _hold(writing, turns)
        for piece in pieces:
            box = _turned(piece.box, turns, writing.ink.shape)
            candidates.append(_Candidate(sheet, (piece._replace(box=box),), box))
    return make_tiles(candidates).reshape(len(ways_up), len(pieces), TILE, TILE)


def _hold(writing: Writing, turns: int) -> _Sheet:
    """Hold a page one way up."""
    pieces = [piece._replace(box=_turned(piece.box, turns, writing.ink.shape)) for piece in writing.pieces]
    return _Sheet(
        np.rot90(writing.contrast, turns),
        np.rot90(writing.labels, turns),
        np.rot90(writing.marks, turns),
        np.rot90(writing.ink, turns),
        pieces,
        writing.size,
        turns,
    )


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
    pieces: list[Piece]
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

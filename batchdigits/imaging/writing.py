"""The ink of numbers and pages: marks of writing, before anyone knows which way up they are or what they show."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from batchdigits.imaging.cuts import NARROWEST
from batchdigits.imaging.ink import binarise, measure_contrast, resize_to_work, sharpen_marks
from batchdigits.imaging.lattice import Piece, box_around
from batchdigits.imaging.lines import Line, shortest_line
from batchdigits.imaging.pipeline import clear_lines
from batchdigits.imaging.segment import Part, find_parts, is_rim, is_stroke, is_tiny
from batchdigits.imaging.settings import ImagingSettings
from batchdigits.types import Box

FINER = 2
"""The usual working size, as a multiple of that for one digit: digits are a small part of a page."""

_SMALLEST, _LARGEST = 0.12, 6.0  # of a digit's size: what is smaller is dirt, what is larger no writing
_PALEST = 0.4  # of the usual ink
_LIGHT_SIZE = 128  # pixels: see `measure_contrast`
_MANY = 24  # marks: so many tell their size
_MOST_PARTS = 500  # heaviest first: pages of handwritten digits have fewer, printed text and textures any number
_COMPACT, _GROWTH = 2.5, 1.6  # a mark no longer for its breadth, or for its largest part, may be one digit,
_HALF = 0.6  # unless its second part is longer than that share of it
_ONE_DIGIT, _COMPLETE = 1.3, 0.7  # of a digit's size: no digit is larger, and none has two parts so large
_BRIDGE = 0.5  # of a stroke's width, on both sides of a gap


@dataclass(frozen=True, slots=True, eq=False)
class Writing:
    """Every step from a picture to its marks. All maps are (h, w), at working size."""

    work: NDArray[np.uint8]  #: (h, w, 3) BGR
    contrast: NDArray[np.float32]  #: 0 paper, 1 ink
    least: NDArray[np.float32]  #: the contrast that noise alone does not reach
    marks: NDArray[np.uint8]  #: 255 where there may be ink, rulings removed
    lines: tuple[Line, ...]  #: rulings and borders that were removed
    ink: NDArray[np.uint8]  #: 255 where there is ink, rulings removed
    labels: NDArray[np.int32]  #: of the piece that each pixel belongs to; 0 for paper
    pieces: tuple[Piece, ...]  #: heaviest mark first; none without writing
    size: float  #: of a digit, pixels; 0 without ink
    notes: tuple[str, ...]  #: stable codes of what is in doubt


def find_writing(pixels: NDArray[np.uint8], settings: ImagingSettings, *, finer: float = FINER) -> Writing:
    """Find the marks of a page that may be digits or parts of them.

    Parameters
    ----------
    pixels : (H, W, 3) ndarray of uint8
        BGR.
    settings : ImagingSettings
        What the model was trained with.
    finer : float
        The working size, as a multiple of that for one digit.

    Returns
    -------
    Writing
        Without pieces for a page without ink: a normal answer, not an error.
    """
    work = resize_to_work(pixels, settings, finer=finer)
    measured = measure_contrast(work, settings)
    lines, marks, ink, _ = clear_lines(measured.ink, binarise(measured), settings)
    labels, parts = find_parts(ink, measured.ink)
    found, size = _choose(parts, ink.shape)
    chosen = found[:_MOST_PARTS]
    labels, pieces, size = _assemble(chosen, labels, size)
    if not any(map(is_stroke, chosen)) and all(is_tiny(piece.box, ink.shape) for piece in pieces):
        pieces = []  # dust, or dotted paper
    notes = ("too_many_marks",) * (len(found) > _MOST_PARTS) + ("cut_off",) * any(any(p.edges) for p in chosen)
    return Writing(work, measured.ink, measured.least, marks, lines, ink, labels, tuple(pieces), size, notes)


def size_at_a_glance(pixels: NDArray[np.uint8], settings: ImagingSettings) -> float:
    """Tell the size of a page's digits from a small copy in which they need not be legible.

    Parameters
    ----------
    pixels : (H, W, 3) ndarray of uint8
        BGR, already small.
    settings : ImagingSettings
        What the model was trained with.

    Returns
    -------
    float
        Pixels, the longer side of a usual mark's box; 0 where there are too few to tell.
    """
    measured = measure_contrast(pixels, settings, light_size=_LIGHT_SIZE)
    marks = binarise(measured)
    ink = sharpen_marks(measured.ink, marks, settings)
    _, parts = find_parts(ink, measured.ink)
    least = [shortest_line(extent) for extent in ink.shape]
    if any(part.box.height >= least[0] or part.box.width >= least[1] for part in parts):  # it may be of rulings
        ink = clear_lines(measured.ink, marks, settings).ink
        _, parts = find_parts(ink, measured.ink)
    found, _ = _choose(parts, ink.shape)
    return float(np.median([part.box.longer for part in found])) if len(found) >= _MANY else 0.0


def _choose(parts: Sequence[Part], shape: tuple[int, ...]) -> tuple[list[Part], float]:
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
    mark_of = {part.label: mark for mark, members in by_mark.items() for part in members}
    regrouped = _regroup(by_mark.values(), one_digit)
    if any(len(group) > 1 for group in regrouped):
        labels = labels.copy()
    pieces = []
    for first, *others in regrouped:
        for part in others:
            around = labels[part.box.top : part.box.bottom, part.box.left : part.box.right]
            around[around == part.label] = first.label
        pieces.append(Piece(mark_of[first.label], first.label, box_around([first, *others])))
    return labels, pieces, size


def _regroup(marks: Iterable[list[Part]], whole: Callable[[Sequence[Part]], bool]) -> list[list[Part]]:
    """Keep together the parts of those marks for which `whole` holds, and set the others apart."""
    return [group for mark in marks for group in ([mark] if whole(mark) else [[part] for part in mark])]


def _join(parts: Sequence[Part], labels: NDArray[np.int32]) -> list[int]:
    """Return the mark that each part belongs to: gaps narrower than a stroke are bridged."""
    if not parts:
        return []
    reach = 1 + round(_BRIDGE * float(np.median([part.thickness for part in parts])))
    inside = np.flatnonzero(labels > 0)  # paper is most of a page: only the ink is worth a look
    owner = labels.ravel()[inside]
    chosen = np.zeros(int(owner.max()) + 1, np.uint8)
    chosen[[part.label for part in parts]] = 1
    ink = np.zeros(labels.shape, np.uint8)
    ink.ravel()[inside] = chosen[owner]
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach - 1, 2 * reach - 1))
    _, joined = cv2.connectedComponents(cv2.dilate(ink, disc), connectivity=8)
    somewhere = np.zeros(len(chosen), np.int64)
    somewhere[owner] = inside  # any pixel of a part tells what it is joined to
    return [int(mark) for mark in joined.ravel()[somewhere[[part.label for part in parts]]]]

"""Rulings and printed borders, found by how they run.

A ruling is long, thin and straight, and *anchored*: each end runs out of the picture or into another ruling. The
strokes of a digit end free. That needs no size of box or pitch of paper, and lets a 1 or the bar of a 7 stand.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from batchdigits.imaging.ranks import median
from batchdigits.imaging.straight import Runs, runs_down, straight_rows

Mask = NDArray[np.uint8]

_ALIKE = 2.0  # times as dark: so much one line of a form may be darker than another that it ends at
_STEEPEST = 0.18  # some ten degrees
_COVERED = 0.8  # of a line: as much is ink, its own or that of strokes across it
_MET = 0.4  # of a line's length: where a thin run of ink is
_SMALLEST = 16  # pixels: the short side of a picture in which lines are looked for
_FEWEST = 3  # places where a candidate meets thin ink: fewer tell no direction
_BESIDE = np.arange(-3, 4)[:, None]  # rows: so far from where it is expected a line's middle may lie
_ASTRAY = 4  # pixels: what a line may end beside the ink that it was found by
_CROOKED = 0.06  # by how much a line's slope may differ from its neighbours': three to four degrees


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """A thin straight structure, described along its long axis (x for a horizontal line, y for a vertical one)."""

    vertical: bool
    start: int  #: first position along the axis
    centre: NDArray[np.int64]  #: (L,) position across the axis, for `start`, `start` + 1, ...
    hit: NDArray[np.bool_]  #: (L,) where a thin run of ink was found
    thickness: float  #: pixels, the median of the runs
    slope: float  #: pixels across the axis per pixel along it
    level: float = 1.0  #: how dark it is, the median of the ink contrast along it

    @property
    def stop(self) -> int:
        """One past the last position along the axis."""
        return self.start + len(self.centre)

    @property
    def middle(self) -> float:
        """Position across the axis half-way along."""
        return float(self.centre[len(self.centre) // 2])


def _fit(x: NDArray[np.int64], y: NDArray[np.int64]) -> tuple[float, float]:
    """Return slope and offset of the straight line through some points, by least squares."""
    middle = float(x.sum()) / len(x)
    from_middle = x - middle
    slope = float(from_middle @ y / (from_middle @ from_middle))
    return slope, float(y.sum()) / len(y) - slope * middle


def _share(flags: NDArray[np.bool_]) -> float:
    """Return how many of some flags are set: np.mean takes several times as long for so few."""
    return np.count_nonzero(flags) / len(flags)


def _trace(
    number: NDArray[np.int32], middle: NDArray[np.int64], slope: float, offset: float
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Follow y = slope * x + offset through some runs; return the centre per column, and where there was one.

    Given are the runs' numbers, and their middles, by `_middles`.
    """
    height, width = number.shape
    x = np.arange(width)
    wanted = slope * x + offset
    expected = np.rint(wanted).astype(np.int64)
    found = middle[number[_within(expected + _BESIDE, height), x]]
    far = np.abs(found - wanted)
    nearest = far.argmin(axis=0), x
    inside = (expected >= -2) & (expected < height + 2)
    hit = far[nearest] < height
    return _within(np.where(hit, found[nearest], expected), height), hit & inside


def _within(rows: NDArray[np.int64], height: int) -> NDArray[np.int64]:
    """Return the nearest rows of the picture: np.clip takes several times as long for so few."""
    return np.minimum(np.maximum(rows, 0), height - 1)


def _middles(runs: Runs, chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the middle row of each chosen run, and of the others one that is far away from everywhere."""
    return np.where(chosen, (runs.top + runs.bottom - 1) // 2, 1 << 40)


def _longest_stretch(
    hit: NDArray[np.bool_], covered: NDArray[np.bool_], first: int, last: int, gap: int
) -> tuple[int, int]:
    """Grow [first, last] over the hits on both sides for as long as no gap is wider than `gap`.

    Where a stroke covers the line, nobody can see whether it has a gap; the ends are hits all the same.
    """
    (where,) = hit.nonzero()
    if where.size == 0:
        return first, first
    hidden = np.concatenate([[0], np.cumsum(covered & ~hit)])
    before, after = int(np.searchsorted(where, first)), int(np.searchsorted(where, last, side="right"))
    places = np.concatenate([where[:before], [first, last], where[after:]])
    (wide,) = (np.diff(places) - np.diff(hidden[places]) > gap).nonzero()  # gaps to the next place
    left, right = int(np.searchsorted(wide, before)), int(np.searchsorted(wide, before, side="right"))
    start = places[wide[left - 1] + 1] if left else places[0]
    stop = places[wide[right]] if right < len(wide) else places[-1]
    return int(start), int(stop) + 1


def _thin_ink(mask: Mask, limit: int) -> Mask:
    """Return the ink whose vertical runs are at most so long."""
    size, column = limit + 1, np.ones((limit + 1, 1), np.uint8)
    inner = cv2.erode(mask, column, anchor=(0, size // 2), borderType=cv2.BORDER_CONSTANT, borderValue=0)
    # of an even number of rows, the opening needs the mirrored one to grow back
    thick = cv2.dilate(inner, column, anchor=(0, size - 1 - size // 2))
    return np.asarray(cv2.subtract(mask, thick), dtype=np.uint8)


def _find_horizontal(mask: Mask, *, vertical: bool) -> list[Line]:
    """Find the near-horizontal candidates of a mask (a transposed one gives the vertical ones)."""
    height, width = mask.shape
    shortest = shortest_line(width)
    _, _, extent, _ = cv2.boundingRect(mask)
    if extent <= shortest:
        return []
    limit = _thickest(mask.shape)
    gap = max(3, round(0.06 * width))
    runs = runs_down(mask)
    length = runs.length
    thin = (length > 0) & (length <= limit)
    segments = straight_rows(runs, thin, steepest=_STEEPEST, shortest=shortest, gap=gap)
    if not segments:
        return []
    number, middles = runs.numbers(), _middles(runs, thin)
    lines: list[Line] = []
    taken = np.zeros(mask.shape, np.bool_)
    every = np.arange(width)
    for first, last, slope, offset in segments:
        middle = every[first:last]
        if _share(taken[_within(np.rint(slope * middle + offset).astype(np.int64), height), middle]) > 0.5:
            continue
        centre, hit = _trace(number, middles, slope, offset)
        held: tuple[int, int] | None = None
        for _ in range(2):  # a candidate is half a degree off at times: follow it as far as it holds, then fit anew
            covered = mask[centre, every] > 0
            start, stop = _longest_stretch(hit, covered, int(middle[0]), int(middle[-1]), gap=gap)
            if (start, stop) == held:
                break
            held = start, stop
            on_line = start + np.flatnonzero(hit[start:stop])
            if len(on_line) < _FEWEST:
                break
            usual = median(length[number[centre[on_line], on_line]])
            slope, offset = _fit(on_line, centre[on_line])
            alike = thin & (length <= 2 * usual + 2)
            centre, hit = _trace(number, _middles(runs, alike), slope, offset)
        along = np.arange(start, stop)
        here, on = centre[start:stop], hit[start:stop]
        if len(on_line) < _FEWEST or _share(on) < _MET or _share(on | covered[start:stop]) < _COVERED:
            continue
        thickness = median(length[number[here[on], along[on]]])
        if len(along) < max(shortest, 7 * thickness):
            continue
        reach = round(thickness)
        taken[_within(here + np.arange(-reach, reach + 1)[:, None], height), along] = True
        met = np.flatnonzero(on)
        lines.append(Line(vertical, start, here, on, thickness, _fit(met, here[met])[0]))
    return lines


def shortest_line(extent: int) -> int:
    """Return the length that a line has at least, across a picture of that extent."""
    return max(12, round(0.3 * extent))


def hold_none(ink: Mask, corner: tuple[int, int], shape: tuple[int, int]) -> bool:
    """Prove by the thin ink alone that there is no line, as in most pictures of lone digits.

    A line meets thin ink along much of it, and ends at an edge of the picture or at a line across.

    Parameters
    ----------
    ink : (h, w) ndarray of uint8
        0 paper, else ink: the part of a picture that has all of its ink. With several levels, the proof holds for the
        ink from each of them on: what is thin there is among what an opening takes away.
    corner : (int, int)
        Where in the picture that part begins, from the left and from the top.
    shape : (int, int)
        Height and width of the picture.

    Returns
    -------
    bool
        Whether `find_lines` finds none in the picture, whatever it is told of the contrast. False is no proof of any.
    """
    if not ink.size or min(shape) < _SMALLEST:
        return True
    (left, top), (height, width) = corner, shape
    limit = _thickest(shape)
    reach = margin_of(max(shape), limit) + _ASTRAY
    found = 0
    for place, extent, breadth, part in (
        ((left, top), width, height, ink),
        ((top, left), height, width, np.asarray(cv2.transpose(ink), dtype=np.uint8)),
    ):
        thin = _thin_ink(part, limit)
        if cv2.countNonZero(cv2.reduce(thin, 0, cv2.REDUCE_MAX)) < _MET * shortest_line(extent):
            continue
        x, y, along, deep = cv2.boundingRect(thin)
        x, y = x + place[0], y + place[1]
        if min(x, y, extent - x - along, breadth - y - deep) <= reach:
            return False
        found += 1
    return found < 2


def _near_edge(mask: Mask) -> bool:
    """Tell whether any ink is so near an edge of the picture that a line could be anchored there."""
    height, width = mask.shape
    left, top, extent, depth = cv2.boundingRect(mask)
    free = int(min(left, top, width - left - extent, height - top - depth))
    return free <= margin_of(max(height, width), _thickest(mask.shape))


def margin_of(extent: int, thickness: float) -> float:
    """Return how far from an edge a line of that thickness may end and still run out of the picture."""
    return max(3.0, 0.025 * extent, 1.5 * thickness)


def _thickest(shape: tuple[int, ...]) -> int:
    """Return the thickness in pixels beyond which no form rules its lines."""
    return max(4, round(0.06 * max(shape)))


def _anchored(line: Line, others: list[Line], shape: tuple[int, int]) -> bool:
    """Tell whether the line's ends run out of the picture or into another line.

    One such end is enough for a long line that hugs an edge of the picture: the border of a cell cut out too tightly.
    """
    height, width = shape
    extent, breadth = (height, width) if line.vertical else (width, height)
    margin = margin_of(extent, line.thickness)

    def end_is_anchored(position: int, across: int) -> bool:
        if min(position, extent - 1 - position, across, breadth - 1 - across) <= margin:
            return True
        for other in others:
            # the other line's own axis is this line's across; a pen's stroke may end at a ruling, but is seldom so thin
            alike = abs(other.thickness - line.thickness) <= 2 + 0.5 * min(other.thickness, line.thickness)
            alike &= max(other.level, line.level) <= _ALIKE * min(other.level, line.level)
            reaches = other.start - margin <= across <= other.stop - 1 + margin
            if other.vertical != line.vertical and alike and reaches:
                at = min(max(across - other.start, 0), len(other.centre) - 1)
                if abs(int(other.centre[at]) - position) <= max(3.0, 0.012 * extent) + other.thickness:
                    return True
        return False

    first, last = int(line.centre[0]), int(line.centre[-1])
    ends = end_is_anchored(line.start, first) + end_is_anchored(line.stop - 1, last)
    hugs = max(first, last) < 0.15 * breadth or min(first, last) > 0.85 * breadth
    return ends == 2 or (ends == 1 and hugs and len(line.centre) >= 0.6 * extent)


def _level(line: Line, contrast: NDArray[np.float32]) -> float:
    along = (line.start + np.arange(len(line.centre)))[line.hit]
    across = line.centre[line.hit]
    return median(contrast[along, across] if line.vertical else contrast[across, along])


def _crookedness(line: Line, others: list[Line]) -> float:
    """Return by how much the slope of a line is off between those before and after it, 0 without.

    A stroke from top to bottom of a box is parallel to neither side. Seen at an angle, lines of a form need not be
    parallel, but each lies between its neighbours in slope too.
    """
    parallel = [other for other in others if other.vertical == line.vertical]
    before = max((o for o in parallel if o.middle < line.middle), key=lambda o: o.middle, default=None)
    after = min((o for o in parallel if o.middle > line.middle), key=lambda o: o.middle, default=None)
    if before is None or after is None:
        return 0.0
    share = (line.middle - before.middle) / (after.middle - before.middle)
    return abs(line.slope - ((1 - share) * before.slope + share * after.slope))


def find_lines(
    mask: Mask, known: tuple[Line, ...] = (), contrast: NDArray[np.float32] | None = None
) -> tuple[Line, ...]:
    """Find rulings and printed borders.

    Parameters
    ----------
    mask : (H, W) ndarray of uint8
        0 paper, 255 marks.
    known : tuple of Line
        Lines found before, no longer in the mask, which others may still end at.
    contrast : (H, W) ndarray of float32, optional
        Ink contrast: no line ends at one that is much paler or darker.

    Returns
    -------
    tuple of Line
        New lines that are at least 0.3 of the picture long, within ten degrees of its axes, and anchored at both ends,
        and no more crooked than the lines beside them. Empty for a mask without any: a normal answer.
    """
    if min(mask.shape) < _SMALLEST:
        return ()
    lines = _find_horizontal(mask, vertical=False)
    if not lines and not known and not _near_edge(mask):
        return ()  # nothing that a vertical line could end at
    lines += _find_horizontal(np.asarray(cv2.transpose(mask), dtype=np.uint8), vertical=True)
    if contrast is not None:
        lines = [replace(line, level=_level(line, contrast)) for line in lines]
    shape = mask.shape[0], mask.shape[1]
    while True:
        every = [*lines, *known]
        kept = [line for line in lines if _anchored(line, every, shape)]
        if len(kept) == len(lines):
            # one at a time: beside a stroke that was taken for a line, the true ones seem crooked too
            off = [_crookedness(line, every) for line in lines]
            if max(off, default=0.0) <= _CROOKED:
                return tuple(lines)
            del kept[int(np.argmax(off))]
        lines = kept

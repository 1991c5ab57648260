"""Rulings and printed borders: found by how they run, removed without the strokes that cross them.

A ruling is long, thin and straight, and *anchored*: each end runs out of the picture or into another ruling. The
strokes of a digit end free. That needs no size of box or pitch of paper, and lets a 1 or the bar of a 7 stand.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.uint8]

_ALIKE = 2.0  # times as dark: so much one line of a form may be darker than another that it ends at
_STEEPEST = 0.18  # some ten degrees
_COVERED = 0.8  # of a line: as much is ink, its own or that of strokes across it
_FEWEST = 3  # places where a candidate meets thin ink: fewer tell no direction
_SEARCHED = 160  # pixels: the short side of a picture, or up to twice as much, at which candidates are searched
_CROOKED = 0.06  # by how much a line's slope may differ from its neighbours': three to four degrees


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """A thin straight structure, described along its long axis (x for a horizontal line, y for a vertical one)."""

    vertical: bool
    start: int  #: first position along the axis
    centre: NDArray[np.int64]  #: (L,) position across the axis, for `start`, `start` + 1, ...
    hit: NDArray[np.bool_]  #: (L,) where a thin run of ink was found
    thickness: float  #: pixels, the median of the runs
    level: float = 1.0  #: how dark it is, the median of the ink contrast along it

    @property
    def stop(self) -> int:
        """One past the last position along the axis."""
        return self.start + len(self.centre)

    @property
    def middle(self) -> float:
        """Position across the axis half-way along."""
        return float(self.centre[len(self.centre) // 2])

    @property
    def slope(self) -> float:
        """Pixels across the axis per pixel along it."""
        along = np.flatnonzero(self.hit)
        return float(np.polyfit(along, self.centre[along], 1)[0])


@dataclass(frozen=True, slots=True, eq=False)
class _Runs:
    """The vertical runs of ink of a mask, numbered from 1 column by column; 0 stands for paper, with no length."""

    number: NDArray[np.int32]  #: (H, W), of the run that each pixel lies in
    top: NDArray[np.int64]  #: (N + 1,) first row
    bottom: NDArray[np.int64]  #: (N + 1,) one past the last row

    @property
    def length(self) -> NDArray[np.int64]:
        """(N + 1,) rows."""
        return self.bottom - self.top


def _runs_down(mask: Mask) -> _Runs:
    """Find the vertical runs of ink."""
    height, width = mask.shape
    columns = np.zeros((width, height + 2), np.bool_)  # with paper around, every run starts and ends
    columns[:, 1:-1] = cv2.transpose(mask)
    flat = columns.ravel()
    changes = np.flatnonzero(flat[1:] != flat[:-1]) % (height + 2)
    top, bottom = (np.concatenate([[0], rows]) for rows in (changes[0::2], changes[1::2]))
    number = np.zeros((width, height), np.int32)
    number[columns[:, 1:-1]] = np.repeat(np.arange(len(top), dtype=np.int32), bottom - top)
    return _Runs(number.T, top, bottom)


def _trace(
    runs: _Runs, middle: NDArray[np.int64], slope: float, offset: float, columns: slice
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Follow y = slope * x + offset through some runs; return the centre per column, and where there was one.

    Given are the runs' middles, by `_middles`.
    """
    height, width = runs.number.shape
    x = np.arange(width)[columns]
    wanted = slope * x + offset
    expected = np.rint(wanted).astype(np.int64)
    near = np.clip(expected + np.arange(-3, 4)[:, None], 0, height - 1)
    found = middle[runs.number[near, x]]
    far = np.abs(found - wanted).astype(np.int64)
    nearest = far.argmin(axis=0), np.arange(len(x))
    hit = far[nearest] < height
    inside = (expected >= -2) & (expected < height + 2)
    return np.clip(np.where(hit, found[nearest], expected), 0, height - 1), hit & inside


def _middles(runs: _Runs, chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the middle row of each chosen run, and of the others one that is far away from everywhere."""
    return np.where(chosen, (runs.top + runs.bottom - 1) // 2, 1 << 40)


def _longest_stretch(
    hit: NDArray[np.bool_], covered: NDArray[np.bool_], first: int, last: int, gap: int
) -> tuple[int, int]:
    """Grow [first, last] over the hits on both sides for as long as no gap is wider than `gap`.

    Where a stroke covers the line, nobody can see whether it has a gap; the ends are hits all the same.
    """
    where = np.flatnonzero(hit)
    hidden = np.concatenate([[0], np.cumsum(covered & ~hit)])

    def gaps(places: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return where the gap to the next of some places is too wide."""
        return np.flatnonzero(np.diff(places) - np.diff(hidden[places]) > gap)

    if where.size == 0:
        return first, first
    before = np.append(where[where < first], first)
    after = np.insert(where[where > last], 0, last)
    wide_before, wide_after = gaps(before), gaps(after)
    start = before[wide_before[-1] + 1] if wide_before.size else before[0]
    stop = after[wide_after[0]] if wide_after.size else after[-1]
    return int(start), int(stop) + 1


def _thin_ink(mask: Mask, limit: int) -> Mask:
    """Return the ink whose vertical runs are at most so long."""
    size, column = limit + 1, np.ones((limit + 1, 1), np.uint8)
    inner = cv2.erode(mask, column, anchor=(0, size // 2), borderType=cv2.BORDER_CONSTANT, borderValue=0)
    # of an even number of rows, the opening needs the mirrored one to grow back
    thick = cv2.dilate(inner, column, anchor=(0, size - 1 - size // 2))
    return np.asarray(cv2.subtract(mask, thick), dtype=np.uint8)


def _straight_segments(thin_ink: Mask, shortest: int, gap: int) -> list[list[int]]:
    """Find straight segments in any direction, longest across first: [x0, y0, x1, y1].

    A large picture is searched at a fraction of its size, in which any ink of a cell counts: they are only candidates.
    """
    step = max(1, min(thin_ink.shape) // _SEARCHED)
    cells = thin_ink
    if step > 1:
        around = cv2.dilate(thin_ink, np.ones((step, step), np.uint8), anchor=(0, 0))
        cells = np.ascontiguousarray(around[::step, ::step])
    segments = cv2.HoughLinesP(
        cells,
        rho=1,
        theta=np.pi / 360,
        threshold=max(10, shortest // (2 * step)),
        minLineLength=shortest // step,
        maxLineGap=max(3, gap // step),
    )
    if segments is None:
        return []
    height, width = thin_ink.shape
    ends = np.minimum(step * segments.reshape(-1, 4) + step // 2, (width - 1, height - 1) * 2)
    return sorted(ends.tolist(), key=lambda segment: -abs(segment[2] - segment[0]))


def _find_horizontal(mask: Mask, *, vertical: bool) -> list[Line]:
    """Find the near-horizontal candidates of a mask (a transposed one gives the vertical ones)."""
    height, width = mask.shape
    shortest = max(12, round(0.3 * width))
    _, _, extent, _ = cv2.boundingRect(mask)
    if extent <= shortest:
        return []
    limit = _thickest(mask)
    gap = max(3, round(0.06 * width))
    segments = [
        segment
        for segment in _straight_segments(_thin_ink(mask, limit), shortest, gap)
        if abs(segment[3] - segment[1]) <= _STEEPEST * abs(segment[2] - segment[0])  # else a stroke, not the form
    ]
    if not segments:
        return []
    runs = _runs_down(mask)
    length = runs.length
    thin = (length > 0) & (length <= limit)
    middles = _middles(runs, thin)
    lines: list[Line] = []
    taken = np.zeros(mask.shape, np.bool_)
    for x0, y0, x1, y1 in segments:
        middle = slice(int(min(x0, x1)), int(max(x0, x1)) + 1)
        slope = (y1 - y0) / (x1 - x0)
        offset = y0 - slope * x0
        centre, _ = _trace(runs, middles, slope, offset, middle)
        if taken[centre, np.arange(width)[middle]].mean() > 0.5:
            continue
        centre, hit = _trace(runs, middles, slope, offset, np.s_[:])
        start, stop = middle.start, middle.stop
        for _ in range(2):  # a Hough line is half a degree off at times: follow it as far as it holds, then fit anew
            covered = mask[centre, np.arange(width)] > 0
            start, stop = _longest_stretch(hit, covered, middle.start, middle.stop - 1, gap=gap)
            on_line = start + np.flatnonzero(hit[start:stop])
            if len(on_line) < _FEWEST:
                break
            usual = np.median(length[runs.number[centre[on_line], on_line]])
            slope, offset = np.polyfit(on_line, centre[on_line], 1)
            alike = thin & (length <= 2 * usual + 2)
            centre, hit = _trace(runs, _middles(runs, alike), slope, offset, np.s_[:])
        along = np.arange(start, stop)
        here, on = centre[start:stop], hit[start:stop]
        if len(on_line) < _FEWEST or on.mean() < 0.4 or (on | covered[start:stop]).mean() < _COVERED:
            continue
        thickness = float(np.median(length[runs.number[here[on], along[on]]]))
        if len(along) < max(shortest, 7 * thickness):
            continue
        reach = round(thickness)
        taken[np.clip(here + np.arange(-reach, reach + 1)[:, None], 0, height - 1), along] = True
        lines.append(Line(vertical, start, here, on, thickness))
    return lines


def _near_edge(mask: Mask) -> bool:
    """Tell whether any ink is so near an edge of the picture that a line could be anchored there."""
    height, width = mask.shape
    left, top, extent, depth = cv2.boundingRect(mask)
    free = int(min(left, top, width - left - extent, height - top - depth))
    return free <= _margin(max(height, width), _thickest(mask))


def _margin(extent: int, thickness: float) -> float:
    """Return how far from an edge a line of that thickness may end and still run out of the picture."""
    return max(3.0, 0.025 * extent, 1.5 * thickness)


def _thickest(mask: Mask) -> int:
    """Return the thickness in pixels beyond which no form rules its lines."""
    return max(4, round(0.06 * int(max(mask.shape))))


def _anchored(line: Line, others: list[Line], shape: tuple[int, int]) -> bool:
    """Tell whether the line's ends run out of the picture or into another line.

    One such end is enough for a long line that hugs an edge of the picture: the border of a cell cut out too tightly.
    """
    height, width = shape
    extent, breadth = (height, width) if line.vertical else (width, height)
    margin = _margin(extent, line.thickness)

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
    return float(np.median(contrast[along, across] if line.vertical else contrast[across, along]))


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
    if min(mask.shape) < 16:
        return ()
    lines = _find_horizontal(mask, vertical=False)
    if not lines and not known and not _near_edge(mask):
        return ()  # nothing that a vertical line could end at
    lines += _find_horizontal(np.ascontiguousarray(mask.T), vertical=True)
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


def remove_lines(mask: Mask, lines: tuple[Line, ...]) -> Mask:
    """Remove lines, keeping each stroke that crosses one.

    Where a run of ink across the line is hardly longer than the line is thick, it is line and nothing else; where it
    is half as long again, a stroke passes there and the whole run stays. The mask may show the lines thicker than the
    one they were found in, as a lower threshold does.

    Returns
    -------
    (H, W) ndarray of uint8
        0 paper, 255 marks; a subset of `mask`.
    """
    cleaned = mask.copy()
    for vertical in (False, True):
        view = cleaned.T if vertical else cleaned
        source = mask.T if vertical else mask
        chosen = [line for line in lines if line.vertical is vertical]
        if not chosen:
            continue
        runs = _runs_down(source)
        removed = np.zeros(len(runs.top), np.bool_)
        for line in chosen:
            crossed = runs.number[line.centre, np.arange(line.start, line.stop)]
            length = runs.length[crossed]
            thickness = float(np.median(length[line.hit]))
            removed[crossed[line.hit & (length <= 1.5 * thickness + 1)]] = True
        view[removed[runs.number]] = 0
    return cleaned


def drop_remains(ink: Mask, lines: tuple[Line, ...]) -> Mask:
    """Remove the little that is left of lines, as where two cross and each hides the other's thickness.

    Parameters
    ----------
    ink : (H, W) ndarray of uint8
        0 paper, 255 ink, without the lines.
    lines : tuple of Line
        The lines.

    Returns
    -------
    (H, W) ndarray of uint8
        A subset of `ink`: without the connected parts that lie along the lines, or where one runs out of view, with all
        that they have, and either touch the picture's edge or are hardly longer than a line is thick; and without the
        slivers along the edge.
    """
    if not lines:
        return ink
    bands = np.zeros_like(ink)
    for line in lines:
        extent = ink.shape[0] if line.vertical else ink.shape[1]
        margin = round(_margin(extent, line.thickness))
        start = 0 if line.start <= margin else line.start - margin
        stop = extent if line.stop >= extent - margin else line.stop + margin
        along = np.concatenate([[start], np.arange(line.start, line.stop), [stop - 1]])
        first = line.centre[0] - line.slope * (line.start - start)
        across = np.concatenate([[first], line.centre, [line.centre[-1] + line.slope * (stop - line.stop)]])
        points = np.rint(np.stack((across, along) if line.vertical else (along, across), axis=1)).astype(np.int32)
        cv2.polylines(bands, [points], isClosed=False, color=255, thickness=2 * round(line.thickness) + 3)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(ink, connectivity=8)
    outside = np.bincount(labels[bands == 0], minlength=count) > 0
    left, top, width, height, _ = stats.T
    inside = (left > 1) & (top > 1) & (left + width < ink.shape[1] - 1) & (top + height < ink.shape[0] - 1)
    long = np.maximum(width, height) > 4 * max(line.thickness for line in lines) + 6
    sliver = ~inside & (np.minimum(width, height) <= 2)
    return np.where(((outside & ~sliver) | (inside & long))[labels], ink, np.uint8(0))


def mend_strokes(ink: Mask, removed: Mask, lines: tuple[Line, ...]) -> Mask:
    """Give back what was taken of strokes that ran along a line for a while or crossed it at a flat angle.

    Parameters
    ----------
    ink : (H, W) ndarray of uint8
        0 paper, 255 ink, without the lines.
    removed : (H, W) ndarray of uint8
        0 paper, else ink that went with the lines.
    lines : tuple of Line
        The lines.

    Returns
    -------
    (H, W) ndarray of uint8
        0 paper, 255 ink: removed ink is back where there is ink on both sides of it, no further apart than a line is
        thick.
    """
    if not lines:
        return ink
    side = round(max(line.thickness for line in lines)) + 3
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    padded = np.pad(ink, side)
    closed = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, disc)[side:-side, side:-side]
    return np.where((closed > 0) & (removed > 0), np.uint8(255), ink)

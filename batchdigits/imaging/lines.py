"""Rulings and printed borders: found by how they run, removed without the strokes that cross them.

A ruling is long, thin and straight, and *anchored*: each end runs out of the picture or into another ruling. The
strokes of a digit end free. That needs no size of box or pitch of paper, and lets a 1 or the bar of a 7 stand.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """A thin straight structure, described along its long axis (x for a horizontal line, y for a vertical one)."""

    vertical: bool
    start: int  #: first position along the axis
    centre: NDArray[np.int64]  #: (L,) position across the axis, for `start`, `start` + 1, ...
    hit: NDArray[np.bool_]  #: (L,) where a thin run of ink was found
    thickness: float  #: pixels, the median of the runs

    @property
    def stop(self) -> int:
        """One past the last position along the axis."""
        return self.start + len(self.centre)


def _runs_down(mask: Mask) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return for every pixel the first and one past the last row of the vertical run of ink it lies in."""
    height = mask.shape[0]
    rows = np.arange(height, dtype=np.int32)[:, None]
    ink = mask > 0
    start = np.maximum.accumulate(np.where(ink, np.int32(-1), rows), axis=0) + 1
    stop = np.minimum.accumulate(np.where(ink, np.int32(height), rows)[::-1], axis=0)[::-1]
    return start, stop


def _trace(
    thin: NDArray[np.bool_], top: NDArray[np.int32], bottom: NDArray[np.int32], slope: float, offset: float
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Follow y = slope * x + offset through the thin runs; return the centre per column, and where there was one."""
    height, width = thin.shape
    x = np.arange(width)
    best = np.full(width, height, dtype=np.int64)
    wanted = slope * x + offset
    centre = np.rint(wanted).astype(np.int64)
    expected = centre.copy()
    for shift in range(-3, 4):
        y = np.clip(expected + shift, 0, height - 1)
        middle = (top[y, x] + bottom[y, x] - 1) // 2
        far = np.abs(middle - wanted)
        take = thin[y, x] & (far < best)
        best[take] = far[take].astype(np.int64)
        centre[take] = middle[take]
    inside = (expected >= -2) & (expected < height + 2)
    return np.clip(centre, 0, height - 1), (best < height) & inside


def _longest_stretch(
    hit: NDArray[np.bool_], covered: NDArray[np.bool_], first: int, last: int, gap: int
) -> tuple[int, int]:
    """Grow [first, last] over the hits on both sides for as long as no gap is wider than `gap`.

    Where a stroke covers the line, nobody can see whether it has a gap; the ends are hits all the same.
    """
    where = np.flatnonzero(hit)
    hidden = np.concatenate([[0], np.cumsum(covered & ~hit)])

    def seen_between(one: int, other: int) -> int:
        return other - one - int(hidden[other] - hidden[one])

    if where.size == 0:
        return first, first
    start, stop = first, last
    for position in where[where < first][::-1]:
        if seen_between(int(position), start) > gap:
            break
        start = int(position)
    for position in where[where > last]:
        if seen_between(stop, int(position)) > gap:
            break
        stop = int(position)
    return start, stop + 1


def _find_horizontal(mask: Mask, *, vertical: bool) -> list[Line]:
    """Find the near-horizontal candidates of a mask (a transposed one gives the vertical ones)."""
    height, width = mask.shape
    limit = max(4, round(0.06 * max(height, width)))  # no form rules thicker lines than that
    shortest = max(12, round(0.3 * width))
    top, bottom = _runs_down(mask)
    thin = (mask > 0) & (bottom - top <= limit)
    segments = cv2.HoughLinesP(
        thin.astype(np.uint8) * 255,
        rho=1,
        theta=np.pi / 360,
        threshold=max(10, shortest // 2),
        minLineLength=shortest,
        maxLineGap=max(3, round(0.06 * width)),
    )
    lines: list[Line] = []
    taken = np.zeros_like(thin)
    found = [] if segments is None else sorted(segments.reshape(-1, 4).tolist(), key=lambda s: -abs(s[2] - s[0]))
    for x0, y0, x1, y1 in found:
        if abs(y1 - y0) > 0.18 * abs(x1 - x0):  # some ten degrees: beyond, it is a stroke, not the form
            continue
        middle = slice(min(x0, x1), max(x0, x1) + 1)
        slope = (y1 - y0) / (x1 - x0)
        offset = y0 - slope * x0
        centre, hit = _trace(thin, top, bottom, slope, offset)
        if taken[centre[middle], np.arange(width)[middle]].mean() > 0.5:
            continue
        covered = mask[centre, np.arange(width)] > 0
        start, stop = _longest_stretch(hit, covered, middle.start, middle.stop - 1, gap=max(3, round(0.06 * width)))
        along = np.arange(start, stop)
        here, on = centre[start:stop], hit[start:stop]
        if on.mean() < 0.4 or (on | covered[start:stop]).mean() < 0.8:
            continue
        thickness = float(np.median((bottom - top)[here[on], along[on]]))
        if len(along) < max(shortest, 7 * thickness):
            continue
        reach = round(thickness)
        for shift in range(-reach, reach + 1):
            taken[np.clip(here + shift, 0, height - 1), along] = True
        lines.append(Line(vertical, start, here, on, thickness))
    return lines


def _anchored(line: Line, others: list[Line], shape: tuple[int, int]) -> bool:
    """Tell whether the line's ends run out of the picture or into another line.

    One such end is enough for a long line that hugs an edge of the picture: the border of a cell cut out too tightly.
    """
    height, width = shape
    extent, breadth = (height, width) if line.vertical else (width, height)
    margin = max(3.0, 0.025 * extent, 1.5 * line.thickness)

    def end_is_anchored(position: int, across: int) -> bool:
        if min(position, extent - 1 - position, across, breadth - 1 - across) <= margin:
            return True
        for other in others:
            # the other line's own axis is this line's across; a pen's stroke may end at a ruling, but is seldom so thin
            alike = abs(other.thickness - line.thickness) <= 2 + 0.5 * min(other.thickness, line.thickness)
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


def find_lines(mask: Mask, known: tuple[Line, ...] = ()) -> tuple[Line, ...]:
    """Find rulings and printed borders.

    Parameters
    ----------
    mask : (H, W) ndarray of uint8
        0 paper, 255 marks.
    known : tuple of Line
        Lines found before, no longer in the mask, which others may still end at.

    Returns
    -------
    tuple of Line
        New lines that are at least 0.3 of the picture long, within ten degrees of its axes, and anchored at both ends.
        Empty for a mask without any: a normal answer.
    """
    if min(mask.shape) < 16:
        return ()
    lines = _find_horizontal(mask, vertical=False) + _find_horizontal(np.ascontiguousarray(mask.T), vertical=True)
    shape = mask.shape[0], mask.shape[1]
    while True:
        kept = [line for line in lines if _anchored(line, [*lines, *known], shape)]
        if len(kept) == len(lines):
            return tuple(kept)
        lines = kept


def remove_lines(mask: Mask, lines: tuple[Line, ...]) -> Mask:
    """Remove lines, keeping each stroke that crosses one.

    Where a run of ink across the line is no longer than the line is thick, it is line and nothing else; where it is
    longer, a stroke passes there and the whole run stays. The mask may show the lines thicker than the one they were
    found in, as a lower threshold does.

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
        top, bottom = _runs_down(source)
        for line in chosen:
            along = np.arange(line.start, line.stop)
            length = bottom[line.centre, along] - top[line.centre, along]
            thickness = float(np.median(length[line.hit]))
            only_line = line.hit & (length <= 1.6 * thickness + 2)
            for x, y in zip(along[only_line], line.centre[only_line], strict=True):
                view[top[y, x] : bottom[y, x], x] = 0
    return cleaned

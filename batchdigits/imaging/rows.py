"""Pieces of ink to lines of writing: which of them stand side by side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from batchdigits.types import Box

_SMALL = 0.45  # of a digit's size: what is lower, as the bar of a 5, joins a line, but makes none
_STEEPEST = 0.5  # slope of the writing: beyond it, the next digit is not the neighbour on the right
_LEAST_OVERLAP = 0.35  # of the lower of two heights, between neighbours in a line
_BESIDE, _ABOVE = 1.0, 0.35  # of a digit's size: how far a small piece may lie from its line


def find_rows(boxes: Sequence[Box], size: float) -> list[list[int]]:
    """Sort pieces into lines.

    Each line is followed from left to right through its last few pieces, so it may climb, fall and bend.

    Parameters
    ----------
    boxes : sequence of Box
        Of the pieces.
    size : float
        Of a digit: the longer side of its box, in pixels.

    Returns
    -------
    list of list of int
        Indices into `boxes`: lines from top to bottom, the pieces of each from left to right. Small pieces far from
        every line are left out.
    """
    if not boxes:
        return []
    left, top, right, bottom = np.array(boxes, dtype=np.float64).T
    middle = (left + right) / 2
    large = np.flatnonzero(bottom - top >= _SMALL * size)
    slope = _slope(np.stack([middle, (top + bottom) / 2], axis=1)[large], size)
    upper, lower = top - slope * middle, bottom - slope * middle
    spans = list(zip(upper.tolist(), lower.tolist(), strict=True))
    rows: list[list[int]] = []
    for piece in large[np.argsort(middle[large], kind="stable")].tolist():
        overlaps = [_overlap(spans[piece], [spans[other] for other in row[-3:]]) for row in rows]
        if overlaps and max(overlaps) > _LEAST_OVERLAP:
            rows[overlaps.index(max(overlaps))].append(piece)
        else:
            rows.append([piece])
    levels = np.array([np.mean((upper[row] + lower[row]) / 2) for row in rows])
    whole = [np.array(row) for row in rows]
    for piece in np.setdiff1d(np.arange(len(boxes)), large):
        across = [np.maximum(0, np.maximum(left[row] - right[piece], left[piece] - right[row])) for row in whole]
        down = [np.maximum(0, np.maximum(upper[row] - lower[piece], upper[piece] - lower[row])) for row in whole]
        gaps = [float((x / _BESIDE + y / _ABOVE).min()) for x, y in zip(across, down, strict=True)]
        if gaps and min(gaps) < size:
            rows[int(np.argmin(gaps))].append(int(piece))
    return [sorted(rows[number], key=lambda piece: (middle[piece], piece)) for number in np.argsort(levels)]


def _slope(centres: NDArray[np.float64], size: float) -> float:
    """Return by how much the writing falls to the right: the median over neighbours."""
    if not len(centres):
        return 0.0
    across, down = (axis - axis[:, None] for axis in centres.T)
    right = (across > 0.3 * size) & (across < 4 * size) & (np.abs(down) < _STEEPEST * across)
    nearest = np.where(right, across, np.inf).argmin(axis=1)
    piece = np.flatnonzero(right.any(axis=1))
    there = piece, nearest[piece]
    return float(np.median(down[there] / across[there])) if piece.size else 0.0


def _overlap(piece: tuple[float, float], others: Sequence[tuple[float, float]]) -> float:
    """Return how much of their heights a piece and others, given by their ends, share on average, 0 to 1."""
    upper, lower = piece
    total = 0.0
    for top, bottom in others:
        shared = min(lower, bottom) - max(upper, top)
        if shared > 0:  # most lines are far away
            total += min(shared / min(lower - upper, bottom - top), 1.0)
    return total / len(others)

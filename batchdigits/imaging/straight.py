"""Thin runs of ink that lie in a straight row: where a ruling may be, before anything is followed closely."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

_SEARCHED = 250  # pixels: the width of a picture, or up to twice as much, at which rows are searched
_AROUND = 1  # cells: so far from a row's line its runs may lie, since no ruling on paper is quite straight
_FEWEST = 10  # runs
_WEIGHT = 1.5  # of a run's vote for lines close by, on average


@dataclass(frozen=True, slots=True, eq=False)
class Runs:
    """The vertical runs of ink of a mask, numbered from 1 column by column; 0 stands for paper, with no length."""

    shape: tuple[int, int]  #: of the mask
    column: NDArray[np.int64]  #: (N + 1,)
    top: NDArray[np.int64]  #: (N + 1,) first row
    bottom: NDArray[np.int64]  #: (N + 1,) one past the last row

    @property
    def length(self) -> NDArray[np.int64]:
        """(N + 1,) rows."""
        return self.bottom - self.top

    def numbers(self) -> NDArray[np.int32]:
        """Return the run that each pixel lies in: (H, W)."""
        height, width = self.shape
        length = self.length
        first = self.column * height + self.top - (np.cumsum(length) - length)
        number = np.zeros(width * height, np.int32)
        inside = np.repeat(first, length) + np.arange(length.sum())
        number[inside] = np.repeat(np.arange(len(length), dtype=np.int32), length)
        return number.reshape(width, height).T


def runs_down(mask: NDArray[np.uint8]) -> Runs:
    """Find the vertical runs of ink.

    Parameters
    ----------
    mask : (H, W) ndarray of uint8
        0 paper, else ink.
    """
    height, width = mask.shape
    columns = np.zeros((width, height + 2), np.bool_)  # with paper around, every run starts and ends
    columns[:, 1:-1] = cv2.transpose(mask)
    flat = columns.ravel()
    column, change = np.divmod(np.flatnonzero(flat[1:] != flat[:-1]), height + 2)
    column, top, bottom = (np.concatenate([[0], found]) for found in (column[0::2], change[0::2], change[1::2]))
    return Runs((height, width), column, top, bottom)


class Segment(NamedTuple):
    """A piece of y = slope * x + offset."""

    start: int  #: first x
    stop: int  #: one past the last x
    slope: float
    offset: float


def straight_rows(runs: Runs, chosen: NDArray[np.bool_], *, steepest: float, shortest: int, gap: int) -> list[Segment]:
    """Find where middles of runs lie in a straight row from left to right.

    Every run votes for the lines through its middle, a long one for those through its ends as well (Hough, 1962; as
    y = slope * x + offset, since all of them are near-horizontal: Duda and Hart's angles, 1972, would be nine tenths
    in vain). The line with most votes is looked at, its runs are taken out, and so on.

    Parameters
    ----------
    runs : Runs
        Of a mask.
    chosen : (N + 1,) ndarray of bool
        Which of them count.
    steepest : float
        Largest slope.
    shortest : int
        Pixels from the first to the last run of a row, at least.
    gap : int
        Pixels from run to run in a row, at most.

    Returns
    -------
    list of Segment
        Those with most runs first. They are only candidates: a large mask is searched at a fraction of its size.
    """
    height, width = runs.shape
    step = max(1, width // _SEARCHED)
    voters = np.flatnonzero(chosen & (runs.column % step == 0))
    least = max(_FEWEST, shortest // (2 * step))
    if len(voters) < least:
        return []
    x, y = runs.column[voters], (runs.top[voters] + runs.bottom[voters] - 1) / 2
    if x[-1] - x[0] < shortest:
        return []
    # a stroke that touches the line makes its run longer: the line is at one end of it. Lines are thinner than strokes
    length = runs.length[voters]
    half = (float(np.partition(length, len(length) // 4)[len(length) // 4]) - 1) / 2
    joined = voters[length > 4 * half + 2]
    x = np.concatenate([x, runs.column[joined], runs.column[joined]])
    y = np.concatenate([y, runs.top[joined] + half, runs.bottom[joined] - 1 - half])
    order = x.argsort(kind="stable")
    x, y = x[order] // step, y[order] / step
    middle = width / step / 2
    most = int(np.ceil(steepest * middle))
    slopes = np.arange(-most, most + 1) / middle  # from one to the next, a row's ends move by a cell
    offsets = height // step + 2 * (most + _AROUND + 1)  # cells, at the middle column
    bins = np.rint(y - slopes[:, None] * (x - middle)).astype(np.int32) + (most + _AROUND)
    bins += np.arange(len(slopes), dtype=np.int32)[:, None] * offsets
    shape = len(slopes), offsets
    votes = np.bincount(bins.ravel(), minlength=shape[0] * shape[1]).astype(np.int32).reshape(shape)
    left = np.ones(len(x), np.bool_)
    found: list[Segment] = []
    while True:
        # runs on the line itself count twice: of the lines close by, that is the one that lies best
        near = votes[:, :-2] + 2 * votes[:, 1:-1] + votes[:, 2:]
        slope, offset = np.unravel_index(int(near.argmax()), near.shape)
        if near[slope, offset] < _WEIGHT * least:
            return found
        away = bins[slope] - (slope * offsets + offset + _AROUND)
        row = np.flatnonzero(left & (np.abs(away) <= _AROUND))
        stretch = row[_longest(x[row], max(3, gap // step))]
        start, stop = int(x[stretch[0]]), int(x[stretch[-1]])
        if stop - start >= shortest // step:
            rise = float(slopes[slope])
            at_zero = float(y[stretch].sum() - rise * x[stretch].sum()) / len(stretch)
            found.append(Segment(start * step, stop * step + 1, rise, at_zero * step))
            row = np.flatnonzero(left & (np.abs(away) <= _AROUND + 1) & (x >= start) & (x <= stop))
        left[row] = False
        votes -= np.bincount(bins[:, row].ravel(), minlength=votes.size).reshape(shape)


def _longest(x: NDArray[np.int64], gap: int) -> slice:
    """Return the longest stretch of a sorted sequence whose steps are at most `gap`."""
    breaks = np.flatnonzero(x[1:] - x[:-1] > gap) + 1
    if not len(breaks):
        return slice(0, len(x))
    first, stop = np.concatenate([[0], breaks]), np.concatenate([breaks, [len(x)]])
    longest = int((x[stop - 1] - x[first]).argmax())
    return slice(int(first[longest]), int(stop[longest]))
